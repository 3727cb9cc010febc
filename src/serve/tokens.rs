//! Bearer tokens: who may do what.
//!
//! The file has one token a line, then what it is good for: `inference`, `control` (loading and unloading models), `metrics`;
//! a line without a scope means `inference`. `#` begins a comment. Tokens are kept as SHA-256 and compared in constant time,
//! each of them for every request, so that neither their text nor their place in the file can be told from the time it takes.
//!
//! **When the file changes.** The server looks at the file every two seconds. A correct file takes effect at once. Of a file
//! with wrong lines the correct lines take effect. If the file is missing, cannot be read or has no correct line, no token
//! is in force and every call that needs one is refused. What is wrong must be there at two looks in a row, because a file that is being written
//! may be incomplete for a moment; it is then logged as an error, and `uflow_token_file_ok` is 0 until the file is repaired.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use prometheus::{IntGauge, Registry};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::auth::{Refusal, Scope};
use crate::{Error, Reason, Result, engine::register, sync::lock};

/// A token shorter than this can be guessed.
const SHORTEST: usize = 16;
/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The tokens of a file that may be replaced while the server runs.
#[derive(Debug)]
pub struct Tokens {
    path: PathBuf,
    entries: ArcSwap<Vec<KnownToken>>,
    seen: Mutex<Seen>,
    in_force: IntGauge,
    file_ok: IntGauge,
}

/// SHA-256 of the file's content; `None` where it cannot be read.
type Content = Option<[u8; 32]>;

/// What the last looks at the file found.
#[derive(Debug)]
struct Seen {
    /// What took effect.
    applied: Content,
    /// What was wrong at the last look, and takes effect if the next one finds the same.
    wrong: Option<Content>,
}

#[derive(Debug)]
struct KnownToken {
    hash: [u8; 32],
    scopes: Vec<Scope>,
}

impl Tokens {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::Data`] that names the line that is wrong.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let (entries, mut wrong) = parse(path, &bytes);
        if !wrong.is_empty() {
            return Err(wrong.swap_remove(0));
        }
        let gauge = |name: &str, help: &str| {
            IntGauge::new(name, help).map_err(|error| Error::internal(Reason::because("a metric is malformed", error)))
        };
        let tokens = Self {
            path: path.to_owned(),
            seen: Mutex::new(Seen { applied: Some(hash(&bytes)), wrong: None }),
            in_force: gauge("uflow_tokens", "Bearer tokens that are in force.")?,
            file_ok: gauge(
                "uflow_token_file_ok",
                "1 where the file of bearer tokens is correct; 0 where it is missing, empty or has wrong lines.",
            )?,
            entries: ArcSwap::default(),
        };
        tokens.apply(entries, true);
        Ok(tokens)
    }

    /// Registers the figures of the file.
    ///
    /// # Errors
    /// They are registered already.
    pub fn register(&self, registry: &Registry) -> Result<()> {
        register(registry, Ok(self.in_force.clone()))?;
        register(registry, Ok(self.file_ok.clone()))?;
        Ok(())
    }

    /// Looks at the file from time to time, without end.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            let tokens = Arc::clone(&self);
            if tokio::task::spawn_blocking(move || tokens.look()).await.is_err() {
                tracing::error!(path = %self.path.display(), "looking at the file of tokens panicked; this is a bug");
            }
        }
    }

    /// Looks at the file, and does what the module says where it has changed.
    fn look(&self) {
        let read = std::fs::read(&self.path);
        let content = read.as_ref().ok().map(|bytes| hash(bytes));
        let mut seen = lock(&self.seen);
        if content == seen.applied {
            seen.wrong = None;
            return;
        }
        let (entries, wrong) = match read {
            Ok(bytes) => parse(&self.path, &bytes),
            Err(error) => (Vec::new(), vec![Error::io("read", &self.path)(error)]),
        };
        if !wrong.is_empty() && seen.wrong.replace(content) != Some(content) {
            return;
        }
        *seen = Seen { applied: content, wrong: None };
        drop(seen);
        let in_force = entries.len();
        for error in wrong.iter().take(5) {
            tracing::error!(%error, in_force, "the file of tokens is wrong; only its correct lines are in force");
        }
        if in_force == 0 {
            tracing::error!(path = %self.path.display(), "no token is in force: every call that needs a token is refused");
        } else if wrong.is_empty() {
            tracing::info!(path = %self.path.display(), in_force, "tokens reloaded");
        }
        self.apply(entries, wrong.is_empty());
    }

    fn apply(&self, entries: Vec<KnownToken>, ok: bool) {
        self.in_force.set(entries.len() as i64);
        self.file_ok.set(i64::from(ok));
        self.entries.store(entries.into());
    }

    /// Checks whether the bearer of an `Authorization` header may do something.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn check(&self, authorization: Option<&str>, scope: Scope) -> Result<(), Refusal> {
        let entries = self.entries.load();
        if entries.is_empty() {
            return Err(Refusal::NoTokensInForce);
        }
        let hash = bearer(authorization).map(|token| hash(token.as_bytes())).ok_or(Refusal::NoToken)?;
        let (mut known, mut allowed) = (Choice::from(0), Choice::from(0));
        for entry in entries.iter() {
            let same = entry.hash.ct_eq(&hash);
            known |= same;
            allowed |= same & Choice::from(u8::from(entry.scopes.contains(&scope)));
        }
        match (bool::from(known), bool::from(allowed)) {
            (_, true) => Ok(()),
            (false, _) => Err(Refusal::UnknownToken),
            (true, false) => Err(Refusal::WrongScope(scope)),
        }
    }

    /// Whether an `Authorization` header carries a token, whatever it is good for.
    pub(super) fn knows(&self, authorization: Option<&str>) -> bool {
        !matches!(
            self.check(authorization, Scope::Inference),
            Err(Refusal::NoToken | Refusal::UnknownToken | Refusal::NoTokensInForce)
        )
    }
}

fn bearer(authorization: Option<&str>) -> Option<&str> {
    let (kind, token) = authorization?.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The tokens of the lines that are correct, and what is wrong with the others or with the whole.
fn parse(path: &Path, bytes: &[u8]) -> (Vec<KnownToken>, Vec<Error>) {
    let error = |reason: String| Error::data(path, reason);
    let (mut entries, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(String::from_utf8_lossy(bytes).lines()) {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(token) = words.next() else { continue };
        match entry(token, words) {
            Ok(entry) => entries.push(entry),
            Err(reason) => wrong.push(error(format!("line {number}: {reason}"))),
        }
    }
    if entries.is_empty() && wrong.is_empty() {
        wrong.push(error("it has no token, so nobody could do anything; write one token a line".to_owned()));
    }
    (entries, wrong)
}

fn entry<'a>(token: &str, words: impl Iterator<Item = &'a str>) -> Result<KnownToken, &'static str> {
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("the token has characters that no header can carry; use printable ASCII");
    }
    if token.len() < SHORTEST {
        return Err("the token has fewer than 16 characters and could be guessed");
    }
    let scope = |word: &str| word.parse().map_err(|_| "a scope is not one of inference, control, metrics");
    let mut scopes: Vec<Scope> = words.map(scope).collect::<Result<_, _>>()?;
    if scopes.is_empty() {
        scopes.push(Scope::Inference);
    }
    Ok(KnownToken { hash: hash(token.as_bytes()), scopes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "Bearer 0123456789abcdef";

    struct File {
        file: tempfile::NamedTempFile,
        tokens: Tokens,
    }

    impl File {
        fn new(text: &str) -> Self {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let tokens = Tokens::load(file.path()).unwrap();
            Self { file, tokens }
        }

        fn write(&self, content: impl AsRef<[u8]>) {
            std::fs::write(self.file.path(), content).unwrap();
        }

        fn check(&self, header: &str) -> Result<(), Refusal> {
            self.tokens.check(Some(header), Scope::Inference)
        }

        /// Whether the file is correct, and how many tokens are in force.
        fn figures(&self) -> (i64, i64) {
            (self.tokens.file_ok.get(), self.tokens.in_force.get())
        }
    }

    #[test]
    fn a_token_is_good_for_what_its_line_says() {
        let file = File::new("# line 3\n0123456789abcdef\n\nfedcba9876543210 control metrics # the foreman\n");
        let check = |header, scope| file.tokens.check(header, scope);
        assert_eq!(check(Some(TOKEN), Scope::Inference), Ok(()));
        assert_eq!(check(Some("bearer fedcba9876543210"), Scope::Control), Ok(()));
        assert_eq!(check(Some(TOKEN), Scope::Control), Err(Refusal::WrongScope(Scope::Control)));
        assert_eq!(
            check(Some("Bearer fedcba9876543210"), Scope::Inference),
            Err(Refusal::WrongScope(Scope::Inference))
        );
        assert_eq!(check(Some("Bearer 0123456789abcdee"), Scope::Inference), Err(Refusal::UnknownToken));
        assert_eq!(check(Some("Basic 0123456789abcdef"), Scope::Inference), Err(Refusal::NoToken));
        assert_eq!(check(None, Scope::Inference), Err(Refusal::NoToken));
        assert!(file.tokens.knows(Some("Bearer fedcba9876543210")) && !file.tokens.knows(None));
    }

    #[test]
    fn a_wrong_file_is_refused_at_the_start_with_its_line() {
        let error = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            Tokens::load(file.path()).unwrap_err().to_string()
        };
        assert!(error("# nothing\n").contains("no token"));
        assert!(error("0123456789abcdef\nshort\n").contains("line 2"));
        assert!(error("0123456789abcdef root\n").contains("line 1"));
        assert!(error("0123456789abcdef\n\u{fc}ber-long-token-0001\n").contains("line 2"));
    }

    #[test]
    fn a_correct_file_takes_effect_at_once() {
        let file = File::new("0123456789abcdef\n");
        file.write("another-long-token\nand-another-long-token\n");
        file.tokens.look();
        assert_eq!(file.check(TOKEN), Err(Refusal::UnknownToken));
        assert_eq!(file.check("Bearer another-long-token"), Ok(()));
        assert_eq!(file.figures(), (1, 2));
    }

    #[test]
    fn of_a_file_with_wrong_lines_the_correct_ones_hold() {
        let file = File::new("0123456789abcdef\nrevoked-token-0001\n");
        file.write("0123456789abcdef\nshort\n");
        file.tokens.look();
        assert_eq!(file.check("Bearer revoked-token-0001"), Ok(()), "the file may still be being written");
        file.tokens.look();
        assert_eq!(file.check(TOKEN), Ok(()));
        assert_eq!(file.check("Bearer revoked-token-0001"), Err(Refusal::UnknownToken));
        assert_eq!(file.figures(), (0, 1));
        file.write("0123456789abcdef\n");
        file.tokens.look();
        assert_eq!(file.figures(), (1, 1));
    }

    #[test]
    fn without_a_file_or_a_token_in_it_everybody_is_refused() {
        let remove = |file: &File| std::fs::remove_file(file.file.path()).unwrap();
        let empty = |file: &File| file.write("");
        let damage = |file: &File| file.write([0xff, 0xfe, 0x00, 0x80].repeat(64));
        for change in [&remove as &dyn Fn(&File), &empty, &damage] {
            let file = File::new("0123456789abcdef\n");
            change(&file);
            file.tokens.look();
            assert_eq!(file.check(TOKEN), Ok(()), "the file may be being replaced");
            file.tokens.look();
            assert_eq!(file.check(TOKEN), Err(Refusal::NoTokensInForce));
            assert!(!file.tokens.knows(Some(TOKEN)));
            assert_eq!(file.figures(), (0, 0));
            file.write("0123456789abcdef\n");
            file.tokens.look();
            assert_eq!(file.check(TOKEN), Ok(()));
        }
    }

    #[test]
    fn a_file_that_is_missing_for_a_moment_changes_nothing() {
        let file = File::new("0123456789abcdef\n");
        std::fs::remove_file(file.file.path()).unwrap();
        file.tokens.look();
        file.write("0123456789abcdef\n");
        file.tokens.look();
        std::fs::remove_file(file.file.path()).unwrap();
        file.tokens.look();
        assert_eq!(file.check(TOKEN), Ok(()), "two looks in a row must miss it");
        file.write("0123456789abcdef\n");
    }
}
