//! Pages of lists: each begins behind the last item of the one before, so nothing is shown twice or
//! left out when the list changes in between.

use crate::error::{Error, Result};

/// Which part of a list is wanted.
#[derive(Debug, Clone)]
pub struct PageRequest {
    pub limit: u32,
    /// What the last item of the page before is known by: its name, id or position.
    pub after: Option<String>,
}

/// A part of a list.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// What the last item is known by, if there are more behind it.
    pub next: Option<String>,
}

impl PageRequest {
    /// For lists in ascending order of texts.
    pub fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    /// For lists in the order of positions.
    pub fn position(&self) -> Result<Option<i64>> {
        let read = |after: &String| after.parse().map_err(|_| Error::invalid_field("cursor", "it is of another list"));
        self.after.as_ref().map(read).transpose()
    }

    /// One more than is shown, which tells whether there is a next page.
    pub fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Of a list without pages of its own.
    pub fn cut<T>(&self, items: Vec<T>, key: impl Fn(&T) -> String) -> Page<T> {
        let mut items = items;
        let more = items.len() > self.limit as usize;
        items.truncate(self.limit as usize);
        let next = items.last().filter(|_| more).map(key);
        Page { items, next }
    }
}

impl<T> Page<T> {
    pub fn try_map<U>(self, change: impl FnMut(T) -> Result<U>) -> Result<Page<U>> {
        let items = self.items.into_iter().map(change).collect::<Result<_>>()?;
        Ok(Page { items, next: self.next })
    }
}
