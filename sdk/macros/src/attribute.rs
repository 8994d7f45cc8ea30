//! What stands in the parentheses of `#[tool(…)]`.

use syn::{
    LitStr, Result,
    meta::{self, ParseNestedMeta},
    parse::{Parse, ParseStream, Parser as _},
};

/// Hints, and a name other than the function's.
#[derive(Default)]
pub(crate) struct Attribute {
    pub name: Option<LitStr>,
    pub read_only: bool,
    pub idempotent: bool,
    pub requires_approval: bool,
}

impl Parse for Attribute {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut attribute = Self::default();
        let parser = meta::parser(|meta| attribute.read(&meta));
        parser.parse2(input.parse()?)?;
        Ok(attribute)
    }
}

impl Attribute {
    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        let known = |name: &str| meta.path.is_ident(name);
        if known("name") {
            self.name = Some(meta.value()?.parse()?);
        } else if known("read_only") {
            self.read_only = true;
        } else if known("idempotent") {
            self.idempotent = true;
        } else if known("requires_approval") {
            self.requires_approval = true;
        } else {
            return Err(meta.error("a tool knows `name = \"…\"`, `read_only`, `idempotent` and `requires_approval`"));
        }
        Ok(())
    }
}
