//! Files of keys: what is refused, and what the message calls it.

use std::fs;

use uflow::{
    Error,
    package::{SigningKey, TrustedKeys},
};

use super::sign::Keys;

#[cfg(unix)]
#[test]
fn a_private_key_is_its_owner_s_and_is_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let keys = Keys::new();
    let key = keys.make("a");
    assert_eq!(fs::metadata(keys.path("a")).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(keys.path("a")).unwrap();
    assert!(matches!(SigningKey::create(&keys.path("a")).unwrap_err(), Error::Io { .. }));
    assert_eq!(fs::read(keys.path("a")).unwrap(), before);
    assert_eq!(SigningKey::read(&keys.path("a")).unwrap().public(), key.public());
}

/// DER as a PEM block.
fn pem(label: &str, der: &[u8]) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der))
}

#[test]
fn files_of_something_else_are_named() {
    let keys = Keys::new();
    let key = keys.make("a");
    let file = keys.path("file");
    let private = fs::read_to_string(keys.path("a")).unwrap();
    let trusts = |text: &[u8]| {
        fs::write(&file, text).unwrap();
        TrustedKeys::read(&file).unwrap_err().to_string()
    };
    let signs = |text: &[u8]| {
        fs::write(&file, text).unwrap();
        SigningKey::read(&file).unwrap_err().to_string()
    };
    let public = key.public().to_pem();
    for text in [&b""[..], b"no key", b"-----BEGIN-----"] {
        assert!(trusts(text).contains("holds no PEM block"));
        assert!(signs(text).contains("holds no PEM block"));
    }
    assert!(trusts(b"\xff\xfe").contains("is not text") && signs(b"\xff\xfe").contains("is not text"));
    assert!(trusts(&vec![b' '; 2 << 20]).contains("has more than 1048576 bytes"));
    assert!(trusts(&public.as_bytes()[..60]).contains("has no line `-----END PUBLIC KEY-----`"));
    assert!(trusts(b"-----BEGIN PUBLIC KEY-----\n!!!\n-----END PUBLIC KEY-----\n").contains("is not base64"));
    let said = trusts((public.clone() + &private).as_bytes());
    assert!(
        said.contains("key 2: is a private key; trusted keys are public ones") && said.contains("openssl pkey"),
        "{said}"
    );
    assert!(!said.contains(private.lines().nth(1).unwrap()), "the key itself is not shown");
    assert!(trusts(pem("CERTIFICATE", b"x").as_bytes()).contains("is a certificate"));
    assert!(trusts(pem("RSA PUBLIC KEY", b"x").as_bytes()).contains("a key of the kind RSA PUBLIC KEY"));
    assert!(trusts(pem("X", b"x").as_bytes()).contains("is `X`; packages are signed with ed25519 public keys"));
    assert!(signs(public.as_bytes()).contains("holds a public key; signing takes the private one"));
    assert!(signs((private.clone() + &private).as_bytes()).contains("holds 2 PEM blocks"));
    assert!(signs(pem("ENCRYPTED PRIVATE KEY", b"x").as_bytes()).contains("holds an encrypted private key"));
    assert!(signs(pem("EC PRIVATE KEY", b"x").as_bytes()).contains("a key of the kind EC PRIVATE KEY"));
    assert!(signs(pem("PRIVATE KEY", b"x").as_bytes()).contains("of an unknown kind"));
    let error = TrustedKeys::read(&keys.path("none")).unwrap_err();
    assert!(matches!(error, Error::Io { .. }) && error.to_string().contains("none"), "{error}");

    // Keys of a small order, for which everybody can sign.
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    for last in [0x00, 0x80] {
        let mut weak = [0; 32];
        (weak[0], weak[31]) = (1, last);
        let said = trusts(pem("PUBLIC KEY", &[&head[..], &weak].concat()).as_bytes());
        assert!(said.contains("small order"), "{said}");
    }
    assert!(trusts(pem("PUBLIC KEY", &head).as_bytes()).contains("is a damaged ed25519 public key"));
}

#[test]
fn openssl_s_other_kinds_of_keys_are_named() {
    let keys = Keys::new();
    let kinds: [(&[&str], &str); 4] = [
        (&["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "RSA"),
        (&["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "elliptic-curve (ECDSA)"),
        (&["ed448"], "ed448"),
        (&["x25519"], "x25519"),
    ];
    for (options, kind) in kinds {
        let make = [&["genpkey", "-out", "other.key", "-algorithm"], options].concat();
        let Some(_) = keys.openssl(&make) else { return };
        keys.openssl(&["pkey", "-in", "other.key", "-pubout", "-out", "other.pub"]);
        let said = TrustedKeys::read(&keys.path("other.pub")).unwrap_err().to_string();
        assert!(said.contains(&format!("key 1: is a public key of the kind {kind}")), "{said}");
        let said = SigningKey::read(&keys.path("other.key")).unwrap_err().to_string();
        assert!(said.contains(&format!("is a private key of the kind {kind}")), "{said}");
    }
    let encrypt = ["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret", "-out", "locked.key"];
    keys.openssl(&encrypt);
    let said = SigningKey::read(&keys.path("locked.key")).unwrap_err().to_string();
    assert!(said.contains("holds an encrypted private key; decrypt it first"), "{said}");
}
