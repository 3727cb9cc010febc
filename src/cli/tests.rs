//! The command line as a whole: help and completions.

use clap::{Arg, Command, CommandFactory as _};

use super::{Cli, choices, described};

/// Every sub-command by name, with the command itself.
fn commands() -> Vec<(String, Command)> {
    let mut root = Cli::command();
    root.build();
    let commands = root.get_subcommands().map(|command| (command.get_name().to_owned(), command.clone()));
    let commands: Vec<_> = commands.filter(|(name, _)| name != "help").collect();
    [("uflow".to_owned(), root)].into_iter().chain(commands).collect()
}

fn values(arg: &Arg) -> Vec<String> {
    arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect()
}

/// Clap would break a longer line, and with it an example.
#[test]
fn examples_fit_a_terminal_of_100_columns() {
    fn long_lines(name: &str, command: &Command, found: &mut Vec<String>) {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let long = text.lines().filter(|line| line.chars().count() > 100);
        found.extend(long.map(|line| format!("{name} --help: {line}")));
        for part in command.get_subcommands() {
            long_lines(&format!("{name} {}", part.get_name()), part, found);
        }
    }
    let mut found = Vec::new();
    let mut root = Cli::command();
    root.build();
    long_lines("uflow", &root, &mut found);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn options_with_named_values_are_completed() {
    let named = [
        "device",
        "compare",
        "precision",
        "verdict",
        "bound",
        "tests",
        "layout",
        "format",
        "flow",
        "augment",
        "segmentation",
        "defect",
    ];
    let mut script = Vec::new();
    clap_complete::generate(clap_complete::Shell::Bash, &mut Cli::command(), "uflow", &mut script);
    let script = String::from_utf8(script).unwrap();
    let mut found = Vec::new();
    for (name, command) in commands() {
        // `import --compare` takes images.
        let options = command.get_arguments().filter(|arg| name != "import" || arg.get_long() != Some("compare"));
        for arg in options {
            let Some(option) = arg.get_long().filter(|option| named.contains(option)) else { continue };
            let values = values(arg);
            assert!(values.len() > 1, "uflow {name} --{option} lists no values");
            let offered = format!("--{option})\n                    COMPREPLY=($(compgen -W \"{}\"", values.join(" "));
            assert!(script.contains(&offered), "uflow {name} --{option}: {}", values.join(" "));
            found.push(option.to_owned());
        }
    }
    assert!(named.iter().all(|option| found.iter().any(|found| found == option)), "{found:?}");
}

/// Every listed value is valid and is written as its type writes it.
#[test]
fn listed_values_are_those_of_their_types() {
    fn check<T: std::str::FromStr<Err = crate::Error> + std::fmt::Display>(choices: &choices::Choices<T>) {
        for name in choices.names {
            let value = name.parse::<T>().unwrap();
            assert_eq!(value.to_string(), *name);
        }
    }
    check(&choices::AUGMENTATIONS);
    check(&choices::BOUNDS);
    check(&choices::DEFECTS);
    check(&choices::DEVICES);
    check(&choices::FORMATS);
    check(&choices::PRECISIONS);
    check(&choices::TESTS);
    check(&choices::VERDICTS);
    assert_eq!(choices::PRECISIONS.names.len(), crate::runtime::Precision::ALL.len());
    assert_eq!(choices::FORMATS.names.len(), crate::frame::RawFormat::ALL.len());
}

#[test]
fn an_error_s_cause_is_printed_once() {
    let cause = std::io::Error::other("the disk is full");
    let error = anyhow::Error::from(crate::Error::io("write", "model.uflow")(cause)).context("fitting `bolt`");
    assert_eq!(described(&error), "fitting `bolt`: cannot write model.uflow: the disk is full");
    let cause = std::io::Error::other("failed to fill whole buffer");
    let error = crate::Error::decode("a.png", crate::Reason::saying("the file is cut off", cause));
    assert_eq!(described(&error.into()), "a.png: cannot be decoded: the file is cut off");
}
