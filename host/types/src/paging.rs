//! Keyset pagination: a page begins after the last item of the previous page, so a change of the list in between
//! neither repeats nor skips items.

use crate::error::{Error, Result};

/// Requested page of a list.
#[derive(Debug, Clone)]
pub struct PageRequest {
    pub limit: u32,
    /// Key of the last item of the previous page: its name, id or position.
    pub after: Option<String>,
}

/// Page of a list.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Key of the last item, if more items follow.
    pub next: Option<String>,
}

impl PageRequest {
    /// Returns the cursor of a list in ascending text order.
    pub fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    /// Returns the cursor of a list ordered by position.
    pub fn position(&self) -> Result<Option<i64>> {
        let read = |after: &String| after.parse().map_err(|_| Error::invalid_field("cursor", "it is of another list"));
        self.after.as_ref().map(read).transpose()
    }

    /// Returns the number of rows to read: one more than the limit, which shows whether there is a next page.
    pub fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Cuts items that were read with [`Self::rows`] to a page. `key` returns the key of an item.
    pub fn cut<T>(&self, items: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let mut items = items;
        let more = items.len() > self.limit as usize;
        items.truncate(self.limit as usize);
        let next = items.last().filter(|_| more).map(key);
        Page { items, next }
    }
}

impl<T> Page<T> {
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(change).collect(), next: self.next }
    }

    pub fn try_map<U>(self, change: impl FnMut(T) -> Result<U>) -> Result<Page<U>> {
        let items = self.items.into_iter().map(change).collect::<Result<_>>()?;
        Ok(Page { items, next: self.next })
    }
}
