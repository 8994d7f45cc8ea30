//! Text in lines and paragraphs: white space as a browser would lay it out.

#[derive(Debug, Default)]
pub(crate) struct Layout {
    text: String,
    /// A space that is due if a word follows on the line.
    space: bool,
    /// Ends of lines that are due if anything follows.
    breaks: usize,
    preformatted: bool,
    /// Whether the line began with a mark and has nothing else yet.
    marked: bool,
}

impl Layout {
    pub(crate) fn text(&mut self, text: &str) {
        if self.preformatted {
            self.write(text);
            return;
        }
        for (place, word) in text.split(is_space).enumerate() {
            self.space |= place > 0;
            if !word.is_empty() {
                self.word(word);
            }
        }
    }

    /// Begins a line with a mark.
    pub(crate) fn begin(&mut self, mark: &str) {
        self.line();
        self.write(mark);
        (self.space, self.marked) = (false, true);
    }

    /// Begins a cell of a table.
    pub(crate) fn cell(&mut self) {
        if self.breaks == 0 && !self.text.is_empty() {
            self.write(" | ");
            (self.space, self.marked) = (false, true);
        }
    }

    pub(crate) fn line(&mut self) {
        self.break_after(1);
    }

    pub(crate) fn paragraph(&mut self) {
        self.break_after(2);
    }

    pub(crate) fn preformatted(&mut self, is: bool) {
        self.paragraph();
        self.preformatted = is;
    }

    /// How much there is so far.
    pub(crate) fn length(&self) -> usize {
        self.text.len()
    }

    pub(crate) fn end(self) -> String {
        self.text
    }

    fn word(&mut self, word: &str) {
        let joined = std::mem::take(&mut self.space) && self.breaks == 0 && !self.marked && !self.text.is_empty();
        if joined {
            self.text.push(' ');
        }
        self.write(word);
    }

    fn write(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.extend(std::iter::repeat_n('\n', self.breaks));
        }
        self.breaks = 0;
        self.marked = false;
        self.text.push_str(text);
    }

    fn break_after(&mut self, breaks: usize) {
        // A mark waits for what it is the mark of.
        if !self.marked {
            self.breaks = self.breaks.max(breaks);
        }
        self.space = false;
    }
}

/// What HTML takes for white space; a no-break space is none.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}
