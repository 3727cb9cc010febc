//! Bearer tokens: who may do what.
//!
//! The file has one token a line, then what it is good for: `inference`, `control` (loading and unloading models), `metrics`;
//! nothing named is inference alone. `#` begins a comment. Tokens are kept as SHA-256 and compared in constant time, each
//! of them for every request, so that neither their text nor their place in the file can be told from the time it takes.

use std::path::{Path, PathBuf};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tonic::Status;

use super::auth::Scope;
use crate::{Error, Result};

/// A token shorter than this can be guessed.
const SHORTEST: usize = 16;

/// The tokens of a file that may be replaced while the server runs.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    entries: ArcSwap<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    hash: [u8; 32],
    scopes: Vec<Scope>,
}

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Data`] that names the line.
    pub fn load(path: &Path) -> Result<Self> {
        Ok(Self { path: path.to_owned(), entries: ArcSwap::from_pointee(read(path)?) })
    }

    /// Reads the file again. What was in use stays where it is wrong.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn reload(&self) -> Result<()> {
        self.entries.store(read(&self.path)?.into());
        Ok(())
    }

    /// Whether the bearer of an `Authorization` header may do something.
    ///
    /// # Errors
    /// UNAUTHENTICATED without a known token, PERMISSION_DENIED for one that is not good for it.
    pub fn check(&self, authorization: Option<&str>, scope: Scope) -> Result<(), Status> {
        let token = authorization.and_then(|header| {
            let (kind, token) = header.split_once(' ')?;
            kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(token) = token else {
            return Err(Status::unauthenticated("a token is needed: send the header `authorization: Bearer <token>`"));
        };
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let (mut known, mut allowed) = (Choice::from(0), Choice::from(0));
        for entry in self.entries.load().iter() {
            let same = entry.hash.ct_eq(&hash);
            known |= same;
            allowed |= same & Choice::from(u8::from(entry.scopes.contains(&scope)));
        }
        match (bool::from(known), bool::from(allowed)) {
            (_, true) => Ok(()),
            (false, _) => Err(Status::unauthenticated("the token is not known")),
            (true, false) => Err(Status::permission_denied(format!("the token is not good for {scope}"))),
        }
    }
}

fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    let wrong = |line: usize, reason: &str| Error::Data {
        path: path.to_owned(),
        reason: format!("line {}: {reason}", line + 1),
    };
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(token) = words.next() else { continue };
        if token.len() < SHORTEST {
            return Err(wrong(number, "the token has fewer than 16 characters and could be guessed"));
        }
        let scope =
            |word: &str| word.parse().map_err(|()| wrong(number, "a scope is not inference, control or metrics"));
        let mut scopes: Vec<Scope> = words.map(scope).collect::<Result<_>>()?;
        if scopes.is_empty() {
            scopes.push(Scope::Inference);
        }
        entries.push(Entry { hash: Sha256::digest(token.as_bytes()).into(), scopes });
    }
    if entries.is_empty() {
        return Err(Error::Data {
            path: path.to_owned(),
            reason: "has no token, so nobody could do anything".to_owned(),
        });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    fn tokens(text: &str) -> Result<Tokens> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Tokens::load(file.path())
    }

    #[test]
    fn a_token_is_good_for_what_its_line_says() {
        let tokens = tokens("# line 3\n0123456789abcdef\n\nfedcba9876543210 control metrics # the foreman\n").unwrap();
        let check = |header, scope| tokens.check(header, scope).map_err(|status| status.code());
        assert_eq!(check(Some("Bearer 0123456789abcdef"), Scope::Inference), Ok(()));
        assert_eq!(check(Some("bearer fedcba9876543210"), Scope::Control), Ok(()));
        assert_eq!(check(Some("Bearer 0123456789abcdef"), Scope::Control), Err(Code::PermissionDenied));
        assert_eq!(check(Some("Bearer fedcba9876543210"), Scope::Inference), Err(Code::PermissionDenied));
        assert_eq!(check(Some("Bearer 0123456789abcdee"), Scope::Inference), Err(Code::Unauthenticated));
        assert_eq!(check(Some("Basic 0123456789abcdef"), Scope::Inference), Err(Code::Unauthenticated));
        assert_eq!(check(None, Scope::Inference), Err(Code::Unauthenticated));
    }

    #[test]
    fn a_wrong_file_is_refused_with_its_line() {
        assert!(tokens("# nothing\n").unwrap_err().to_string().contains("no token"));
        assert!(tokens("0123456789abcdef\nshort\n").unwrap_err().to_string().contains("line 2"));
        assert!(tokens("0123456789abcdef root\n").unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn a_replaced_file_is_read_again_and_a_wrong_one_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef\n").unwrap();
        let tokens = Tokens::load(file.path()).unwrap();
        std::fs::write(file.path(), "short\n").unwrap();
        assert!(tokens.reload().is_err());
        assert!(tokens.check(Some("Bearer 0123456789abcdef"), Scope::Inference).is_ok());
        std::fs::write(file.path(), "another-long-token\n").unwrap();
        tokens.reload().unwrap();
        assert!(tokens.check(Some("Bearer 0123456789abcdef"), Scope::Inference).is_err());
        assert!(tokens.check(Some("Bearer another-long-token"), Scope::Inference).is_ok());
    }
}
