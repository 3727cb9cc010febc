//! What clients wrote, as errors show it: on one line, and never whole where it is long.

/// Most characters of a name that are shown.
const NAME: usize = 64;
/// Most bytes of an error's text. Clients refuse headers of more than 8 or 16 KiB, which gRPC's texts travel in.
const TEXT: usize = 2 << 10;

/// A name or a value that a client wrote, without line breaks and control characters, cut off after some characters.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(NAME).flat_map(char::escape_debug).collect();
    if text.chars().nth(NAME).is_some() {
        shown.push('…');
    }
    shown
}

/// A value of JSON that a client wrote, as [`shown`].
pub(super) fn value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => format!("`{}`", shown(text)),
        other => shown(&other.to_string()),
    }
}

/// The text of an error, cut off where something made it far too long.
pub(super) fn text(error: &impl std::fmt::Display) -> String {
    let mut text = error.to_string();
    if text.len() > TEXT {
        text.truncate(text.floor_char_boundary(TEXT));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_and_texts_are_cut_off_between_characters() {
        assert_eq!(shown("a\nb`"), "a\\nb`");
        assert_eq!(shown(&"ü".repeat(64)), "ü".repeat(64));
        assert_eq!(shown(&"ü".repeat(20_000)), format!("{}…", "ü".repeat(64)));
        assert_eq!(text(&"ü".repeat(1024)), "ü".repeat(1024));
        assert_eq!(text(&format!("x{}", "ü".repeat(1024))), format!("x{}…", "ü".repeat(1023)));
    }
}
