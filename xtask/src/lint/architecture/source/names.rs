//! What a module defines, what it imports, and every path in its text.

use super::{Module, Reference, cfg};
use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, ImplItemFn, Item, ItemMod, ItemUse, LitStr, Macro, Meta, Path, Token, UseTree};

/// Adds to a module the names and paths of its items, but for those of the modules in it.
pub(super) fn collect(items: &[Item], module: &mut Module) {
    module
        .items
        .extend(items.iter().filter_map(defined).map(Ident::to_string));
    let is_test = module.is_test;
    let mut collector = Collector { module, is_test };
    for item in items {
        collector.visit_item(item);
    }
}

fn defined(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::TraitAlias(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

struct Collector<'module> {
    module: &'module mut Module,
    /// Whether only tests have what is being visited.
    is_test: bool,
}

impl Collector<'_> {
    /// A path of one name says nothing that the import of this name does not.
    fn add(&mut self, path: Vec<String>, span: Span) {
        if path.len() > 1 {
            self.module.references.push(Reference {
                path,
                line: span.start().line,
                is_test: self.is_test,
            });
        }
    }

    /// Visits what has these attributes.
    fn with(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let before = self.is_test;
        self.is_test |= cfg::is_test(attributes);
        visit(self);
        self.is_test = before;
    }

    fn import(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &Ident| {
            before
                .iter()
                .cloned()
                .chain([name.to_string()])
                .collect::<Vec<_>>()
        };
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, before);
                }
            }
            UseTree::Glob(star) => {
                self.module.globs.push(before.to_vec());
                self.add(before.to_vec(), star.star_token.span);
            }
            // `self` in a group is the module itself.
            UseTree::Name(name) if name.ident == "self" => {
                if let Some(last) = before.last() {
                    self.import_as(last, before.to_vec(), name.ident.span());
                }
            }
            UseTree::Name(name) => {
                self.import_as(&name.ident.to_string(), with(&name.ident), name.ident.span())
            }
            UseTree::Rename(rename) => {
                let path = if rename.ident == "self" {
                    before.to_vec()
                } else {
                    with(&rename.ident)
                };
                self.import_as(&rename.rename.to_string(), path, rename.ident.span());
            }
        }
    }

    /// Tests may import another thing by the same name.
    fn import_as(&mut self, name: &str, path: Vec<String>, span: Span) {
        if !(self.is_test && self.module.imports.contains_key(name)) {
            self.module.imports.insert(name.to_owned(), path.clone());
        }
        self.add(path, span);
    }

    /// Adds what looks like a path among the tokens of a macro or of an attribute.
    fn scan(&mut self, tokens: TokenStream, of: Tokens) {
        let mut rest = |input: ParseStream<'_>| {
            while !input.is_empty() {
                if input.peek(Ident::peek_any) {
                    let start = input.span();
                    let mut path = vec![input.call(Ident::parse_any)?.to_string()];
                    while input.peek(Token![::]) && input.peek3(Ident::peek_any) {
                        input.parse::<Token![::]>()?;
                        path.push(input.call(Ident::parse_any)?.to_string());
                    }
                    self.add(path, start);
                } else if of == Tokens::Attribute && input.peek(LitStr) {
                    self.add_text(&input.parse()?);
                } else if let TokenTree::Group(group) = input.parse()? {
                    self.scan(group.stream(), of);
                }
            }
            Ok(())
        };
        // Any tokens can be read so.
        let _: syn::Result<()> = Parser::parse2(&mut rest, tokens);
    }

    /// Adds the path of an attribute such as `#[serde(with = "path")]`.
    fn add_text(&mut self, text: &LitStr) {
        if let Ok(path) = text.parse::<Path>() {
            self.add(names(&path), text.span());
        }
    }
}

/// Where tokens are from. The strings of attributes may be paths.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tokens {
    Attribute,
    Macro,
}

fn names(path: &Path) -> Vec<String> {
    path.segments
        .iter()
        .map(|segment| segment.ident.to_string())
        .collect()
}

impl<'ast> Visit<'ast> for Collector<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        self.with(attributes, |collector| visit::visit_item(collector, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        self.with(&item.attrs, |collector| {
            visit::visit_impl_item_fn(collector, item)
        });
    }

    /// A module in the module has its own [`Collector`].
    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(first) = path.segments.first() {
            self.add(names(path), first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.scan(item.tokens.clone(), Tokens::Macro);
        visit::visit_macro(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone(), Tokens::Attribute);
        }
    }
}
