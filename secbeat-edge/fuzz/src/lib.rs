//! The edge's parsers of who a client is, and what must hold of them.

#[path = "../../src/sources/client_address/announced.rs"]
mod announced;
#[path = "../../src/sources/client_address/chain.rs"]
mod chain;
#[path = "../../src/sources/client_address/oracle.rs"]
mod oracle;

/// See [`oracle::chain`].
pub fn check_chain(input: &[u8]) {
    oracle::chain(input);
}

/// See [`oracle::proxy_header`].
pub fn check_proxy_header(input: &[u8]) {
    oracle::proxy_header(input);
}
