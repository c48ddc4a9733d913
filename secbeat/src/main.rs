//! `secbeat`: arguments, logging, run.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use secbeat::{
    cli::{Cli, Command},
    daemon,
    words::WORDS,
};
use secbeat_daemon::{cli::init_logging, exit, program};

fn main() -> ExitCode {
    let cli = exit::parse_arguments::<Cli>(WORDS);
    if cli.is_in_fleet() {
        program::is_edge("secbeat");
    } else {
        secbeat_bus::broker::called("the store");
        program::is_both("secbeat");
    }
    let result = match &cli.command {
        Command::Run { bpf_object } => {
            init_logging().and_then(|()| daemon::run(cli.named_config(), bpf_object.as_deref()))
        }
        _ => {
            exit::restore_sigpipe();
            cli.execute()
        }
    };
    exit::finish("secbeat", result)
}
