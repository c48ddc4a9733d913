//! The daemons by their parts: configs, commands, API, metrics, traces, credentials, start and stop, and odd hosts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a failure here is the failure to report"
)]

mod acme;
mod api;
mod bad_config;
mod bad_host;
mod bus_conformance;
mod cli;
mod dashboard;
mod default_routes;
mod devices;
mod exemptions;
mod front_door;
mod generated_requests;
mod host_watcher;
mod how_to;
mod joining;
mod lifecycle;
mod lists;
mod log_rotation;
mod meddling;
mod metrics;
mod notify;
mod observe_mode;
mod one_host;
mod protection_refresh;
mod proxy_site;
mod readme;
mod rest_examples;
mod robustness;
mod secured;
mod sockets;
mod traces;
mod unbelieving;
mod web_page;
