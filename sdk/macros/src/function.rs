//! From a function to a tool: a struct for its arguments, whose fields are its parameters, and a
//! type of the function's own name that implements `ToolFunction`.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Attribute as Attr, Error, Expr, ExprLit, FnArg, ItemFn, Lit, LitStr, Meta, Pat, PatType, Result, Type,
    spanned::Spanned as _,
};

use crate::attribute::Attribute;

/// A parameter as a field of the arguments.
struct Field {
    name: Ident,
    attributes: Vec<Attr>,
    kind: Type,
}

pub(crate) fn expand(attribute: &Attribute, mut function: ItemFn) -> Result<TokenStream> {
    check(&function)?;
    let description = documentation(&function)?;
    let fields = function.sig.inputs.iter_mut().map(field).collect::<Result<Vec<_>>>()?;
    let (ident, visibility) = (&function.sig.ident, &function.vis);
    let name = attribute.name.clone().unwrap_or_else(|| LitStr::new(&unraw(ident), ident.span()));
    check_name(&name)?;
    let Attribute { read_only, idempotent, requires_approval, .. } = attribute;
    let arguments = arguments(&fields);
    let passed = fields.iter().map(|field| &field.name);
    let output = quote_spanned! {function.sig.output.span()=>
        ::moxxy_sdk::skill::IntoOutput::into_output(#ident(#(arguments.#passed),*))
    };
    let doc = format!("The tool that the function `{ident}` is.");
    Ok(quote! {
        #[allow(clippy::needless_pass_by_value)]
        #function

        #[doc = #doc]
        #[allow(non_camel_case_types)]
        #visibility struct #ident {}

        const _: () = {
            #arguments

            impl ::moxxy_sdk::skill::ToolFunction for #ident {
                const NAME: &'static str = #name;

                fn definition() -> ::moxxy_sdk::skill::Tool {
                    let parameters = ::moxxy_sdk::skill::schema::<MoxxyToolArguments>();
                    let mut tool = ::moxxy_sdk::skill::Tool::new(#name, #description, parameters);
                    tool.hints.read_only = #read_only;
                    tool.hints.idempotent = #idempotent;
                    tool.hints.requires_approval = #requires_approval;
                    tool
                }

                fn call(
                    arguments: ::moxxy_sdk::serde_json::Value,
                ) -> ::core::result::Result<::moxxy_sdk::skill::Output, ::moxxy_sdk::skill::Error> {
                    let arguments: MoxxyToolArguments = ::moxxy_sdk::skill::arguments(arguments)?;
                    #output
                }
            }
        };
    })
}

fn arguments(fields: &[Field]) -> TokenStream {
    // Serde cannot tell an unknown field from one of a flattened struct.
    let flattened = fields.iter().flat_map(|field| &field.attributes).any(is_flatten);
    let strict = (!flattened).then(|| quote!(, deny_unknown_fields));
    let fields = fields.iter().map(|Field { name, attributes, kind }| quote!(#(#attributes)* #name: #kind));
    quote! {
        #[derive(::moxxy_sdk::serde::Deserialize, ::moxxy_sdk::schemars::JsonSchema)]
        #[serde(crate = "::moxxy_sdk::serde" #strict)]
        #[schemars(crate = "::moxxy_sdk::schemars")]
        struct MoxxyToolArguments {
            #(#fields,)*
        }
    }
}

/// Takes the attributes of a parameter, which the compiler would refuse there.
fn field(input: &mut FnArg) -> Result<Field> {
    let (attributes, pattern, kind) = match input {
        FnArg::Typed(PatType { attrs, pat, ty, .. }) => (std::mem::take(attrs), pat, ty),
        FnArg::Receiver(receiver) => return Err(Error::new(receiver.span(), "a tool is a function, not a method")),
    };
    if let Some(cfg) = attributes.iter().find(|attribute| attribute.path().is_ident("cfg")) {
        return Err(Error::new(cfg.span(), "a tool's parameter is always there: put the `cfg` on the tool"));
    }
    if let Type::Reference(reference) = kind.as_ref() {
        let message = "a tool owns its arguments: take `String` for `&str`, `Vec<T>` for `&[T]`";
        return Err(Error::new(reference.span(), message));
    }
    match pattern.as_ref() {
        Pat::Ident(pattern) => Ok(Field { name: pattern.ident.clone(), attributes, kind: (**kind).clone() }),
        other => Err(Error::new(other.span(), "a tool's parameter is a plain name: the model fills it by that")),
    }
}

fn is_flatten(attribute: &Attr) -> bool {
    let mut found = false;
    if attribute.path().is_ident("serde") {
        // What is wrong in it the derived code says better.
        drop(attribute.parse_nested_meta(|meta| {
            found |= meta.path.is_ident("flatten");
            if meta.input.peek(syn::Token![=]) {
                meta.value()?.parse::<Expr>()?;
            }
            Ok(())
        }));
    }
    found
}

fn check(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if let Some(asyncness) = &signature.asyncness {
        return Err(Error::new(
            asyncness.span(),
            "a tool is not `async`: a call has its instance to itself and may wait",
        ));
    }
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new(unsafety.span(), "a tool is not `unsafe`: a model calls it"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(signature.generics.span(), "a tool has no generic parameters"));
    }
    Ok(())
}

fn check_name(name: &LitStr) -> Result<()> {
    let text = name.value();
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=64).contains(&text.len()) && text.chars().all(fits) {
        return Ok(());
    }
    Err(Error::new(name.span(), "a tool's name is 1 to 64 of `a-z`, `A-Z`, `0-9`, `_` and `-`"))
}

fn unraw(ident: &Ident) -> String {
    let text = ident.to_string();
    text.strip_prefix("r#").unwrap_or(&text).to_owned()
}

/// The doc comment, which the model reads.
fn documentation(function: &ItemFn) -> Result<String> {
    let mut lines = Vec::new();
    for attribute in function.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")) {
        doc_lines(attribute, &mut lines)?;
    }
    let text = flowing(lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()));
    if text.trim().is_empty() {
        let message = "a tool needs a doc comment: what it does and when to use it, for the model";
        return Err(Error::new(function.sig.ident.span(), message));
    }
    Ok(text.trim().to_owned())
}

/// Joins the lines of each paragraph. Those of lists, tables and code stay lines.
fn flowing<'l>(lines: impl Iterator<Item = &'l str>) -> String {
    let (mut text, mut open, mut code) = (String::new(), false, false);
    for (index, line) in lines.enumerate() {
        let fence = line.starts_with("```");
        let item = line.split_once(". ").is_some_and(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()));
        let alone = code || fence || item || line.is_empty() || line.starts_with([' ', '-', '*', '#', '|', '>']);
        if index > 0 {
            text.push(if open && !alone { ' ' } else { '\n' });
        }
        text.push_str(line);
        code ^= fence;
        open = !alone;
    }
    text
}

/// The lines of one doc comment, without the stars of a block.
fn doc_lines(attribute: &Attr, lines: &mut Vec<String>) -> Result<()> {
    match &attribute.meta {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
                let text = text.value();
                let bare = |line: &str| line.trim_start().strip_prefix('*').unwrap_or(line).to_owned();
                match text.contains('\n') {
                    true => lines.extend(text.lines().map(bare)),
                    false => lines.push(text),
                }
                Ok(())
            }
            other => Err(Error::new(other.span(), "a tool's description is written as a doc comment")),
        },
        // `#[doc(hidden)]` and the like.
        _ => Ok(()),
    }
}
