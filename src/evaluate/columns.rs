//! Tables for a terminal, at most [`WIDTH`] columns wide.

use std::fmt;

/// Widest line of a table.
pub(crate) const WIDTH: usize = 100;

/// The name if it fits, else its beginning and its end with `…` between them.
pub(crate) fn shortened(name: &str, width: usize) -> String {
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= width {
        return name.to_owned();
    }
    let tail = (width - 1) / 2;
    let (head, tail) = (&characters[..width - 1 - tail], &characters[characters.len() - tail..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

/// Writes a row: the name on the left, the cells on the right of their columns. A name that is wider than its column gets a line
/// of its own above the cells.
pub(crate) fn row(out: &mut fmt::Formatter<'_>, name: &str, width: usize, cells: &[(String, usize)]) -> fmt::Result {
    if name.chars().count() > width {
        writeln!(out, "{}", shortened(name, WIDTH))?;
        write!(out, "{:width$}", "")?;
    } else {
        write!(out, "{name:<width$}")?;
    }
    cells.iter().try_for_each(|(cell, width)| write!(out, "{cell:>width$}"))?;
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Row(&'static str);

    impl fmt::Display for Row {
        fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            row(out, self.0, 6, &[("1".to_owned(), 4), ("0.5".to_owned(), 6)])
        }
    }

    #[test]
    fn long_names_have_a_line_of_their_own() {
        assert_eq!(Row("bolt").to_string(), "bolt     1   0.5\n");
        assert_eq!(Row("größer").to_string(), "größer   1   0.5\n");
        assert_eq!(Row("longer than six").to_string(), "longer than six\n         1   0.5\n");
    }

    #[test]
    fn names_are_shortened_in_the_middle() {
        assert_eq!(shortened("screw_thread_side", 17), "screw_thread_side");
        assert_eq!(shortened("screw_thread_side", 9), "scre…side");
        assert_eq!(shortened("Größe", 4), "Gr…e");
    }
}
