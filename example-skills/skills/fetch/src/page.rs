//! HTML as text: what a reader would see, in Markdown where that says more.

use html5gum::{DefaultEmitter, StartTag, Token, Tokenizer};

use crate::layout::Layout;

/// What there is to read of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub title: String,
    pub text: String,
}

/// Elements whose content nobody reads.
const UNSEEN: [&[u8]; 9] =
    [b"script", b"style", b"template", b"svg", b"noscript", b"iframe", b"nav", b"select", b"button"];
/// Elements that stand for themselves.
const BLOCKS: [&[u8]; 21] = [
    b"p",
    b"div",
    b"section",
    b"article",
    b"main",
    b"header",
    b"footer",
    b"aside",
    b"ul",
    b"ol",
    b"dl",
    b"table",
    b"blockquote",
    b"pre",
    b"figure",
    b"form",
    b"fieldset",
    b"details",
    b"address",
    b"hr",
    b"body",
];
/// Elements that begin a line.
const LINES: [&[u8]; 8] = [b"br", b"tr", b"dt", b"dd", b"figcaption", b"summary", b"caption", b"option"];
/// How many unclosed elements are shown.
const UNCLOSED: usize = 16;
/// A main part that is shorter than this is none.
const MAIN: usize = 200;

impl Page {
    pub(crate) fn of_html(html: &str) -> Self {
        let mut unclosed = Vec::new();
        loop {
            let mut reader = Reader { unclosed: unclosed.clone(), ..Reader::default() };
            let mut emitter = DefaultEmitter::default();
            // Scripts and styles are no tags.
            emitter.naively_switch_states(true);
            for Ok(token) in Tokenizer::new_with_emitter(html, emitter) {
                reader.take(token);
            }
            // An element that nothing closes hides nothing.
            match &reader.unseen {
                Some(unseen) if unclosed.len() < UNCLOSED => unclosed.push(unseen.number),
                _ => return reader.end(),
            }
        }
    }
}

/// Where in a page we are.
#[derive(Default)]
struct Reader {
    layout: Layout,
    title: String,
    in_title: bool,
    /// The unseen element that we are in.
    unseen: Option<Unseen>,
    /// How many unseen elements began.
    number: usize,
    /// Those of them that are shown, because nothing closes them.
    unclosed: Vec<usize>,
    links: Vec<Option<String>>,
    /// Where the main part begins and ends.
    main: (Option<usize>, Option<usize>),
}

/// An element whose content nobody reads.
struct Unseen {
    name: Vec<u8>,
    /// How many of its name are open.
    depth: usize,
    number: usize,
}

impl Reader {
    fn take(&mut self, token: Token) {
        match token {
            Token::StartTag(tag) => self.start(&tag),
            Token::EndTag(tag) => self.close(&tag.name),
            Token::String(text) if self.in_title => self.title.push_str(&String::from_utf8_lossy(&text)),
            Token::String(text) if self.unseen.is_none() => self.layout.text(&String::from_utf8_lossy(&text)),
            _ => {}
        }
    }

    fn start(&mut self, tag: &StartTag<()>) {
        let name: &[u8] = &tag.name;
        if let Some(unseen) = &mut self.unseen {
            unseen.depth += usize::from(unseen.name == name && !tag.self_closing);
            return;
        }
        match name {
            b"title" => self.in_title = self.title.is_empty(),
            b"a" => self.link(tag),
            b"img" => self.layout.text(&attribute(tag, b"alt").unwrap_or_default()),
            b"li" => self.layout.begin("- "),
            b"td" | b"th" => self.layout.cell(),
            b"pre" => self.layout.preformatted(true),
            b"main" if self.main.0.is_none() => {
                self.layout.paragraph();
                self.main.0 = Some(self.layout.length());
            }
            [b'h', level @ b'1'..=b'6'] => {
                self.layout.paragraph();
                self.layout.begin(&format!("{} ", "#".repeat(usize::from(level - b'0'))));
            }
            _ if UNSEEN.contains(&name) && !tag.self_closing => {
                self.number += 1;
                if !self.unclosed.contains(&self.number) {
                    self.unseen = Some(Unseen { name: name.to_vec(), depth: 1, number: self.number });
                }
            }
            _ => self.separate(name),
        }
    }

    fn close(&mut self, name: &[u8]) {
        if let Some(unseen) = &mut self.unseen {
            unseen.depth -= usize::from(unseen.name == name);
            if unseen.depth == 0 {
                self.unseen = None;
            }
            return;
        }
        match name {
            b"title" => self.in_title = false,
            b"a" => {
                if let Some(Some(target)) = self.links.pop() {
                    self.layout.text(&format!("]({target})"));
                }
            }
            b"pre" => self.layout.preformatted(false),
            b"main" if self.main.1.is_none() => {
                self.main.1 = Some(self.layout.length());
                self.layout.paragraph();
            }
            [b'h', b'1'..=b'6'] => self.layout.paragraph(),
            _ => self.separate(name),
        }
    }

    fn separate(&mut self, name: &[u8]) {
        if BLOCKS.contains(&name) {
            self.layout.paragraph();
        } else if LINES.contains(&name) {
            self.layout.line();
        }
    }

    fn link(&mut self, tag: &StartTag<()>) {
        let leads_on = |target: &String| !target.starts_with(['#', ' ']) && !target.starts_with("javascript:");
        let target = attribute(tag, b"href").filter(|target| !target.is_empty() && leads_on(target));
        if target.is_some() {
            self.layout.text("[");
        }
        self.links.push(target);
    }

    fn end(mut self) -> Page {
        if self.in_title {
            self.layout.text(&std::mem::take(&mut self.title));
        }
        let text = self.layout.end();
        let main = self.main.0.and_then(|start| text.get(start..self.main.1.unwrap_or(text.len()).min(text.len())));
        let text = main.filter(|main| main.len() >= MAIN).unwrap_or(&text).trim().to_owned();
        Page { title: self.title.split_whitespace().collect::<Vec<_>>().join(" "), text }
    }
}

fn attribute(tag: &StartTag<()>, name: &[u8]) -> Option<String> {
    let (_, value) = tag.attributes.iter().find(|(known, _)| known.as_slice() == name)?;
    Some(String::from_utf8_lossy(value).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_sees_is_kept() {
        let cases = [
            ("one\n  two<br>three", "one two\nthree"),
            ("<h2>Head</h2><p>a</p><p>b</p>", "## Head\n\na\n\nb"),
            ("<ul><li>one</li><li>two <i>x</i></li></ul>after", "- one\n- two x\n\nafter"),
            ("see <a href='/x?a=1&amp;b=2'>this\n page</a>.", "see [this page](/x?a=1&b=2)."),
            ("<a href='#top'>up</a> <a>none</a>", "up none"),
            ("<table><tr><th>a<th>b<tr><td>1</td><td>2</td></table>", "a | b\n1 | 2"),
            ("<pre>a\n  b</pre>c", "a\n  b\n\nc"),
            ("a<script>if (1 < 2) { \"</p>\" }</script><style>p {}</style><!-- no --> b", "a b"),
            ("<nav><nav>x</nav>y</nav>z", "z"),
            ("<img src=x alt='a cat'> &eacute;&#8364;", "a cat é€"),
            ("</p></a></li>text</body>", "text"),
            ("<p>unclosed <b", "unclosed"),
            ("a<nav>b<p>c", "ab\n\nc"),
            ("a<select><option>b<p>c<button>d", "a\nb\n\ncd"),
            ("<nav>x</nav>a<svg>b", "ab"),
            ("<title>all of it", "all of it"),
            ("", ""),
        ];
        for (html, text) in cases {
            assert_eq!(Page::of_html(html).text, text, "{html}");
        }
    }

    #[test]
    fn the_main_part_is_enough() {
        let long = "word ".repeat(60);
        let page = Page::of_html(&format!("<title> A\n page </title><p>around</p><main>{long}</main><p>after</p>"));
        assert_eq!((page.title.as_str(), page.text.as_str()), ("A page", long.trim()));
        assert_eq!(Page::of_html("around<main>short</main>").text, "around\n\nshort");
    }
}
