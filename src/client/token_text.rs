//! Reads the text of a token from a file or from the standard input.
//!
//! Guarantees that what is not a token, or is mistyped, is found before anything is sent, and that no
//! error and no `Debug` contains any part of a token. Does not know what it permits.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::identity::token::{self, InvalidToken, ParsedToken, TOKEN_BYTES_MAX};
use crate::system_error::Explained;

/// Bytes of a token's file that are read: a token, and white space around it.
const FILE_BYTES_MAX: u64 = 4096;

/// A token with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText {
    text: String,
    parsed: ParsedToken,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenTextError {
    /// The file cannot be read.
    #[error("can't read the token in {place}: {}", Explained(source))]
    Unreadable {
        /// The file.
        place: String,
        /// The error of the system.
        source: io::Error,
    },
    /// It is empty.
    #[error("there is no token in {place}: it is empty")]
    Empty {
        /// The file.
        place: String,
    },
    /// It contains another text.
    #[error("what is in {place} {reason}; copy the whole token, on a line of its own")]
    Invalid {
        /// The file.
        place: String,
        /// What is wrong.
        reason: InvalidToken,
    },
}

impl TokenText {
    /// Parses a token.
    ///
    /// # Errors
    ///
    /// What is wrong with the text; never any part of it.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        Ok(Self { parsed: token::parse(text)?, text: text.to_owned() })
    }

    /// Reads a token from a file, or from the standard input if the path is `-`.
    ///
    /// # Errors
    ///
    /// [`TokenTextError`] names the file and what is wrong; never any part of its content.
    pub fn read(path: &Path) -> Result<Self, TokenTextError> {
        if path == Path::new("-") {
            return Self::from_reader(io::stdin().lock(), "the standard input".to_owned());
        }
        let place = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::from_reader(file, place),
            Err(source) => Err(TokenTextError::Unreadable { place, source }),
        }
    }

    fn from_reader(reader: impl Read, place: String) -> Result<Self, TokenTextError> {
        let mut bytes = Vec::new();
        if let Err(source) = reader.take(FILE_BYTES_MAX).read_to_end(&mut bytes) {
            return Err(TokenTextError::Unreadable { place, source });
        }
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text.trim(),
            Err(_) => {
                return Err(TokenTextError::Invalid { place, reason: InvalidToken::Alphabet });
            }
        };
        if text.is_empty() {
            return Err(TokenTextError::Empty { place });
        }
        // The parser looks at the whole text only if that may be a token.
        let parsed = match text.len() {
            ..=TOKEN_BYTES_MAX => Self::new(text),
            _ => Err(InvalidToken::Length),
        };
        parsed.map_err(|reason| TokenTextError::Invalid { place, reason })
    }

    /// What is public of it, and its kind.
    pub fn parsed(&self) -> &ParsedToken {
        &self.parsed
    }

    /// The text, with its secret.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", self.parsed.kind.prefix(), self.parsed.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::token::{NewToken, TokenKind};

    #[test]
    fn a_token_is_read_with_white_space_around_it_and_each_mistake_is_named() {
        let token = NewToken::generate(TokenKind::Appliance, None).expect("a token");
        let read = |content: &str| TokenText::from_reader(content.as_bytes(), "/t".to_owned());
        for content in [token.text(), &format!("\n {}\r\n", token.text())] {
            assert_eq!(read(content).expect("a token").expose(), token.text());
        }
        let text = token.text();
        let typo = if text.ends_with('x') { 'y' } else { 'x' };
        let mistyped = format!("{}{typo}", &text[..text.len() - 1]);
        for (content, expected) in [
            ("", "there is no token in /t: it is empty"),
            (" \n", "there is no token in /t: it is empty"),
            (
                "hunter2",
                "what is in /t is not a token: tokens of a broker begin with gba_, gbd_ or gbe_; \
                 copy the whole token, on a line of its own",
            ),
            (
                &text[..20],
                "what is in /t is incomplete, or has more characters than a token; copy the whole \
                 token, on a line of its own",
            ),
            (
                &mistyped,
                "what is in /t is mistyped: its checksum does not match; copy the whole token, on a \
                 line of its own",
            ),
            (
                &format!("{text}\n{text}"),
                "what is in /t has a character that no token has; copy the whole token, on a line of \
                 its own",
            ),
        ] {
            assert_eq!(read(content).expect_err("no token").to_string(), expected);
        }
        let path = Path::new("/nowhere/token");
        assert_eq!(
            TokenText::read(path).expect_err("no file").to_string(),
            "can't read the token in /nowhere/token: No such file or directory (os error 2); check \
             the path: it, or a folder above it, is not there"
        );
    }
}
