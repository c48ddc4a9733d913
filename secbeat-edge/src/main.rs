//! `secbeat-edge`: arguments, logging, config, build, run.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Context;
use secbeat_daemon::{cli::init_logging, exit, supervisor::Supervised};
use secbeat_edge::{
    Brought,
    app::{App, Member, Opened, connect},
    cli::{Cli, Command, WORDS, object_source},
    config::Config,
    open_files,
};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let cli = exit::parse_arguments::<Cli>(WORDS);
    let result = match &cli.command {
        Command::Run { bpf_object } => init_logging().and_then(|()| run(&cli, bpf_object.as_deref())),
        _ => {
            exit::restore_sigpipe();
            cli.execute()
        }
    };
    exit::finish("secbeat-edge", result)
}

fn run(cli: &Cli, bpf_object: Option<&std::path::Path>) -> anyhow::Result<()> {
    let config = Config::load(cli.config_path())?;
    config.check_sources(cli.config_path())?;
    if let Err(error) = open_files::raise_limit(config.open_files(), config.proxy().is_some()) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
    let host = Opened::new(&config, object_source(bpf_object))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let ended = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        // A SIGHUP while the daemon still starts must not end it.
        let hangups = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
        let membership = config.membership()?;
        let bus = connect(&membership, &config.edge_id(&membership)?).await?;
        let member = Member {
            bus,
            membership,
            brought: Brought::default(),
        };
        let app = App::build(config, member, host).await?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        app.run(shutdown, hangups, Supervised::alone()).await
    });
    // A resolver that does not answer must not hold up the end.
    runtime.shutdown_background();
    ended
}
