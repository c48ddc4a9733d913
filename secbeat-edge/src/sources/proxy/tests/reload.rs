use std::num::{NonZeroU32, NonZeroUsize};

use super::{
    super::config::{HostPattern, ListenerConfig, RouteConfig, UpstreamConfig},
    lab::{Lab, OK, accept, get},
};

fn upstream(name: &str, server: super::super::config::ServerUrl) -> UpstreamConfig {
    UpstreamConfig {
        name: name.to_owned(),
        servers: vec![server.into()],
        sticky: false,
        upstream_host: None,
        ca: None,
        health: None,
    }
}

#[tokio::test]
async fn a_new_route_holds_from_the_next_request_of_an_open_connection() {
    let mut lab = Lab::new().await;
    let mut client = lab.client().await;
    client.send(&get("/api/1")).await;
    let mut old = lab.upstream().await;
    assert!(old.head().await.starts_with("GET /api/1 "));

    let (listener, url) = Lab::another().await;
    let mut config = lab.config.clone();
    config.upstreams.push(upstream("new", url));
    config.routes.push(RouteConfig {
        host: HostPattern::Exact("example.org".to_owned()),
        path: "/api".to_owned(),
        upstream: 1,
        response_timeout: None,
        idle_timeout: None,
        max_body: None,
    });
    let left = lab.reloader.reload(config).await.unwrap();
    assert_eq!(
        left,
        ["telemetry calls upstream `new` `other`, and its servers' addresses are not protected"]
    );

    old.send(OK).await;
    assert!(
        client.head().await.starts_with("HTTP/1.1 200 "),
        "what was open is answered"
    );
    assert_eq!(lab.queue.next().await.upstream, 0);
    client.send(&get("/api/2")).await;
    let mut new = accept(&listener).await;
    assert!(new.head().await.starts_with("GET /api/2 "));
    new.send(OK).await;
    client.head().await;
    assert_eq!(lab.queue.next().await.upstream, 1, "the name for all the others");
    client.send(&get("/")).await;
    assert!(
        old.head().await.starts_with("GET / "),
        "the upstream that stayed kept its connection"
    );
}

#[tokio::test]
async fn no_route_is_a_404() {
    let mut lab = Lab::with(|config| {
        config.routes[0].host = HostPattern::Exact("a.example".to_owned());
    })
    .await;
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    assert!(client.head().await.starts_with("HTTP/1.1 404 "));
    let seen = lab.queue.next().await;
    assert_eq!((seen.status, seen.upstream), (404, 1));
}

#[tokio::test]
async fn listeners_come_and_go() {
    let lab = Lab::new().await;
    let mut idle = lab.client().await;
    idle.send(&get("/")).await;
    let mut upstream = lab.upstream().await;
    upstream.head().await;
    upstream.send(OK).await;
    idle.head().await;
    let mut open = lab.client().await;
    open.send(&get("/open")).await;
    assert!(upstream.head().await.starts_with("GET /open "));

    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut config = lab.config.clone();
    config.listeners = vec![ListenerConfig {
        address,
        certificates: Vec::new(),
        acme: false,
        obtained: Vec::new(),
        h2c: false,
        proxy_protocol: false,
        redirect_to_https: None,
    }];
    lab.reloader.reload(config).await.unwrap();
    lab.refused().await;
    assert_eq!(
        idle.rest().await,
        "",
        "an idle connection of the old listener is closed"
    );
    upstream.send(OK).await;
    assert!(
        open.head().await.starts_with("HTTP/1.1 200 "),
        "and what is open is answered"
    );
    let mut client = super::lab::Conn(tokio::net::TcpStream::connect(address).await.unwrap());
    client.send(&get("/new")).await;
    assert!(upstream.head().await.starts_with("GET /new "));
}

#[tokio::test]
async fn what_cannot_be_had_leaves_all_of_the_old_config() {
    let lab = Lab::new().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = lab.config.clone();
    config.routes.clear();
    config.listeners.push(ListenerConfig {
        address: taken.local_addr().unwrap(),
        certificates: Vec::new(),
        acme: false,
        obtained: Vec::new(),
        h2c: false,
        proxy_protocol: false,
        redirect_to_https: None,
    });
    let error = lab.reloader.reload(config).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("proxy.listener: listening on 127.0.0.1:") && error.contains("in use"),
        "{error}"
    );
    let mut client = lab.client().await;
    client.send(&get("/")).await;
    assert!(lab.upstream().await.head().await.starts_with("GET / "));
}

#[tokio::test]
async fn what_takes_a_restart_is_named() {
    let lab = Lab::new().await;
    let mut config = lab.config.clone();
    config.max_connections = NonZeroU32::MIN;
    config.workers = NonZeroUsize::MIN.saturating_add(1);
    let left = lab.reloader.reload(config).await.unwrap();
    assert_eq!(
        left,
        ["proxy.max_connections stays 10000", "proxy.workers stays 1"]
    );
}
