//! The attribute `tool` of `moxxy-sdk`, which documents it.

mod attribute;
mod function;

use proc_macro::TokenStream;

/// See `moxxy_sdk::tool`.
#[proc_macro_attribute]
pub fn tool(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let attribute = syn::parse_macro_input!(attribute as attribute::Attribute);
    let function = syn::parse_macro_input!(item as syn::ItemFn);
    function::expand(&attribute, function).unwrap_or_else(syn::Error::into_compile_error).into()
}
