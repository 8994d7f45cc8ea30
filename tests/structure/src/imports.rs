//! Extraction of the paths in a source file.

use std::collections::HashMap;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, ItemMod, ItemUse, Macro, UseTree,
    visit::{self, Visit},
};

/// A path from the root of the crate, or of another crate.
pub(crate) type Path = Vec<String>;

/// Returns every path in the file of `module`, as an absolute path of its crate. Skips the code of unit tests.
pub(crate) fn absolute_paths(module: &[String], source: &str) -> Result<Vec<Path>, syn::Error> {
    let mut names = Names { module: module.to_vec(), aliases: HashMap::new(), paths: Vec::new() };
    names.visit_file(&syn::parse_file(source)?);
    let Names { aliases, paths, .. } = names;
    let resolve = |path: Path| match path.split_first() {
        Some((first, _)) if first == "crate" => Some(path),
        Some((first, rest)) => aliases.get(first).map(|alias| [alias.as_slice(), rest].concat()),
        None => None,
    };
    Ok(paths.into_iter().filter_map(resolve).map(|path| path.into_iter().skip(1).collect()).collect())
}

struct Names {
    module: Path,
    aliases: HashMap<String, Path>,
    paths: Vec<Path>,
}

impl Names {
    /// Replaces `self` and `super` at the start of a path.
    fn expand(&self, path: Path) -> Path {
        let here = || ["crate".to_owned()].into_iter().chain(self.module.iter().cloned()).collect::<Path>();
        let mut base = match path.first().map(String::as_str) {
            Some("self" | "super") => here(),
            _ => return path,
        };
        let mut rest = path.into_iter().peekable();
        while let Some(part) = rest.next_if(|part| part == "self" || part == "super") {
            if part == "super" {
                base.pop();
            }
        }
        base.extend(rest);
        base
    }

    fn record(&mut self, path: Path) {
        let path = self.expand(path);
        self.paths.push(path);
    }

    fn import(&mut self, prefix: &Path, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                let prefix = [prefix.as_slice(), &[path.ident.to_string()]].concat();
                self.import(&prefix, &path.tree);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(prefix, tree)),
            UseTree::Glob(_) => self.record(prefix.clone()),
            UseTree::Name(name) => self.bind(prefix, &name.ident.to_string(), name.ident.to_string()),
            UseTree::Rename(rename) => self.bind(prefix, &rename.ident.to_string(), rename.rename.to_string()),
        }
    }

    fn bind(&mut self, prefix: &Path, name: &str, alias: String) {
        let mut path = prefix.clone();
        let alias = match (name, prefix.last()) {
            ("self", Some(last)) => last.clone(),
            _ => {
                path.push(name.to_owned());
                alias
            }
        };
        let path = self.expand(path);
        if path.first().is_some_and(|first| first == "crate") {
            self.aliases.insert(alias, path.clone());
        }
        self.paths.push(path);
    }

    /// Records the paths among the tokens of a macro, which have no syntax tree.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path = Path::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.record(std::mem::take(&mut path));
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                other => {
                    self.record(std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.scan(group.stream());
                    }
                }
            }
        }
        self.record(path);
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.import(&Path::new(), &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.record(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.scan(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.content.is_some() && !module.attrs.iter().any(is_test) {
            self.module.push(module.ident.to_string());
            visit::visit_item_mod(self, module);
            self.module.pop();
        }
    }
}

fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
}
