//! `secbeat-orchestrator`: arguments, logging, config, build, run.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Context;
use secbeat_daemon::{cli::init_logging, credentials::Role, exit, supervisor::Supervised};
use secbeat_orchestrator::{
    app::{App, connect},
    cli::{Cli, Command, WORDS},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

fn main() -> ExitCode {
    let cli = exit::parse_arguments::<Cli>(WORDS);
    let result = match cli.command {
        Command::Run => init_logging().and_then(|()| run(&cli)),
        _ => {
            exit::restore_sigpipe();
            cli.execute()
        }
    };
    exit::finish("secbeat-orchestrator", result)
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let config = cli.load_config()?;
    let member = config.nats.membership(Role::Orchestrator, cli.config_path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
        let (changed, configs) = mpsc::channel(1);
        let shutdown = async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => break,
                    _ = tokio::signal::ctrl_c() => break,
                    Some(()) = hangup.recv() => drop(changed.send(cli.load_config()).await),
                }
            }
        };
        let bus = connect(&member, config.nats.replicas).await?;
        let app = App::build(config, member, bus).await?;
        app.run(shutdown, configs, Supervised::alone()).await
    });
    // A resolver that does not answer must not hold up the end.
    runtime.shutdown_background();
    ended
}
