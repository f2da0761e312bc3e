//! JSON as language models write it: trailing commas, comments, raw line breaks in strings, `True`, stray escapes. Strict JSON reads as itself.

use serde_json::{Map, Number, Value};

const DEPTH_MAX: usize = 64;

/// Why nothing was read.
pub(super) struct Failed {
    /// Bytes looked at.
    pub(super) read: usize,
    /// Whether it was nested too deeply, rather than no JSON.
    pub(super) too_deep: bool,
}

/// Reads one value at the beginning; returns it and where it ends.
pub(super) fn parse(text: &str) -> Result<(Value, usize), Failed> {
    let mut reader = Reader { text, at: 0, too_deep: false };
    match reader.value(0) {
        Some(value) => Ok((value, reader.at)),
        None => Err(Failed { read: reader.at, too_deep: reader.too_deep }),
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    too_deep: bool,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Over white space and comments.
    fn skip(&mut self) {
        while let Some(byte) = self.peek() {
            let rest = &self.text.as_bytes()[self.at..];
            if byte.is_ascii_whitespace() {
                self.at += 1;
            } else if rest.starts_with(b"//") {
                self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            } else if rest.starts_with(b"/*") {
                let end = rest.windows(2).skip(2).position(|pair| pair == b"*/");
                self.at += end.map_or(rest.len(), |end| end + 4);
            } else {
                return;
            }
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        self.skip();
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            self.too_deep = true;
            return None;
        }
        self.skip();
        match self.peek()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string(b'"').map(Value::String),
            b'\'' => self.string(b'\'').map(Value::String),
            b'-' | b'0'..=b'9' => self.number(),
            _ => match self.word() {
                "true" | "True" => Some(Value::Bool(true)),
                "false" | "False" => Some(Value::Bool(false)),
                "null" | "None" | "undefined" | "NaN" => Some(Value::Null),
                _ => None,
            },
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut map = Map::new();
        loop {
            if self.eat(b'}') {
                return Some(Value::Object(map));
            }
            let key = match self.peek()? {
                quote @ (b'"' | b'\'') => self.string(quote)?,
                _ => {
                    let word = self.word().to_owned();
                    (!word.is_empty()).then_some(word)?
                }
            };
            if !self.eat(b':') {
                return None;
            }
            let value = self.value(depth + 1)?;
            map.insert(key, value);
            if !self.eat(b',') {
                return self.eat(b'}').then_some(Value::Object(map));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut list = Vec::new();
        loop {
            if self.eat(b']') {
                return Some(Value::Array(list));
            }
            list.push(self.value(depth + 1)?);
            if !self.eat(b',') {
                return self.eat(b']').then_some(Value::Array(list));
            }
        }
    }

    fn word(&mut self) -> &str {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            self.at += 1;
        }
        &self.text[from..self.at]
    }

    fn number(&mut self) -> Option<Value> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let text = &self.text[from..self.at];
        text.parse::<Number>().ok().map(Value::Number)
    }

    fn string(&mut self, quote: u8) -> Option<String> {
        self.at += 1;
        let mut out = String::new();
        let mut from = self.at;
        loop {
            let byte = self.peek()?;
            if byte == quote {
                out.push_str(self.text.get(from..self.at)?);
                self.at += 1;
                return Some(out);
            }
            if byte == b'\\' {
                out.push_str(self.text.get(from..self.at)?);
                self.at += 1;
                self.escape(&mut out)?;
                from = self.at;
            } else {
                self.at += 1;
            }
        }
    }

    fn escape(&mut self, out: &mut String) -> Option<()> {
        let c = self.text.get(self.at..)?.chars().next()?;
        self.at += c.len_utf8();
        let plain = match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => self.unicode(),
            other => other,
        };
        out.push(plain);
        Some(())
    }

    /// Four hex digits, or two such escapes that make one character.
    fn unicode(&mut self) -> char {
        let Some(first) = self.hex4(self.at) else { return 'u' };
        self.at += 4;
        if let Some(c) = char::from_u32(first) {
            return c;
        }
        let pair = self.text.get(self.at..self.at + 2) == Some("\\u");
        match self.hex4(self.at + 2).filter(|low| pair && first < 0xdc00 && (0xdc00..0xe000).contains(low)) {
            Some(low) => {
                self.at += 6;
                char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00)).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            None => char::REPLACEMENT_CHARACTER,
        }
    }

    fn hex4(&self, at: usize) -> Option<u32> {
        let digits = self.text.get(at..at + 4)?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    }
}
