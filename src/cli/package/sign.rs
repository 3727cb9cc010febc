//! `uflow package keygen`, `sign` and `verify`: signatures of packages.

use std::path::PathBuf;

use serde_json::json;

use crate::{
    Error,
    cli::Context,
    package::{self, Package, SigningKey, TrustedKeys},
};

const AFTER_HELP: &str = "\
Examples:
  uflow package keygen --out plant                       writes plant.key (private) and plant.pub
  uflow package sign bolt.uflow --key plant.key
  uflow package verify bolt.uflow --trusted-keys plant.pub
  uflow serve --models repository/ --trusted-keys plant.pub

Keys are ed25519 keys in PEM files, as OpenSSL makes them too:
  openssl genpkey -algorithm ed25519 -out plant.key
  openssl pkey -in plant.key -pubout -out plant.pub
Trust several keys by putting their public keys into one file. Keep the private key away from
machines that only run models.";

/// Where the keys go.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct KeygenArgs {
    /// Name of the two files: NAME.key gets the private key, readable by its owner alone, and NAME.pub the public key. Existing files are kept
    /// and are an error.
    #[arg(long, value_name = "NAME")]
    out: PathBuf,
}

/// What to sign.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct SignArgs {
    /// The package to sign: a folder or a .uflow file.
    package: PathBuf,

    /// PEM file of the private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,

    /// Write the signed package here and leave PACKAGE as it is: a folder, or one file if it ends in .uflow [default: in place].
    #[arg(long, value_name = "PKG")]
    out: Option<PathBuf>,
}

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct VerifyArgs {
    /// The package to check: a folder or a .uflow file.
    package: PathBuf,

    /// PEM file of one or more public keys.
    #[arg(long, value_name = "FILE")]
    trusted_keys: PathBuf,
}

/// Makes a pair of keys.
pub(super) fn keygen(args: &KeygenArgs, context: &Context) -> anyhow::Result<()> {
    let file = |ending: &str| {
        let mut path = args.out.clone().into_os_string();
        path.push(ending);
        PathBuf::from(path)
    };
    let (private, public) = (file(".key"), file(".pub"));
    if public.exists() {
        let reason = "exists already, and is not overwritten; give another --out".to_owned();
        return Err(Error::data(public, reason).into());
    }
    let key = SigningKey::create(&private)?;
    let written = std::fs::File::create_new(&public)
        .and_then(|mut file| std::io::Write::write_all(&mut file, key.public().to_pem().as_bytes()));
    written.map_err(Error::io("write", &public))?;
    let id = key.public().id();
    if context.json {
        context.print_json(&json!({ "event": "keys", "private": private, "public": public, "key_id": id }))?;
    } else {
        let (private, public) = (private.display(), public.display());
        context.print(&format!("{private}: private key; keep it secret\n{public}: public key {id}\n"))?;
    }
    Ok(())
}

/// Signs a package.
pub(super) fn sign(args: &SignArgs, context: &Context) -> anyhow::Result<()> {
    let key = SigningKey::read(&args.key)?;
    let package = Package::open(&args.package)?;
    let out = args.out.as_deref().unwrap_or(&args.package);
    package::check_writable(out)?;
    package.write_signed(out, &key)?;
    let id = key.public().id();
    if context.json {
        context.print_json(&json!({ "event": "signed", "package": out, "key_id": id }))?;
    } else {
        context.print(&format!("{}: signed by the key {id}\n", out.display()))?;
    }
    Ok(())
}

/// Checks a signature.
pub(super) fn verify(args: &VerifyArgs, context: &Context) -> anyhow::Result<()> {
    let trusted = TrustedKeys::read(&args.trusted_keys)?;
    let package = Package::open(&args.package)?;
    package.check_signed_by(&trusted)?;
    let id = package.signature.as_ref().map(|signature| &signature.key_id);
    if context.json {
        context.print_json(&json!({ "event": "verified", "package": args.package, "key_id": id }))?;
    } else {
        let id = id.map_or("", String::as_str);
        context.print(&format!("{}: signed by the trusted key {id}, and unchanged\n", args.package.display()))?;
    }
    Ok(())
}

/// The warning that a changed package is no longer signed.
pub(crate) fn lost(package: &Package) -> Option<String> {
    let id = &package.signature.as_ref()?.key_id;
    Some(format!(
        "the package was signed by the key {id}; the changed one is not: sign it again (uflow package sign PKG --key FILE)"
    ))
}
