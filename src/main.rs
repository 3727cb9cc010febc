//! The `uflow` command.

fn main() -> std::process::ExitCode {
    uflow::cli::main()
}
