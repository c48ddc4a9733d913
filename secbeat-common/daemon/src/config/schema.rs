//! Schema of a config file, as JSON Schema made of the types that read it: for editors, and for the reference in the docs.

use std::borrow::Cow;

use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema, transform::RestrictFormats,
};
use serde_json::Value;

/// The schema of the file that `C` reads, complete in itself.
///
/// A key of a type `Option` may be left out, but TOML has nothing to write for it: the schema knows no `null`.
#[must_use]
pub fn schema_of<C: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let settings = settings
        .with_transform(RestrictFormats::default())
        .with_transform(without_null);
    settings.into_generator().into_root_schema_for::<C>().into()
}

fn without_null(schema: &mut Schema) {
    schemars::transform::transform_subschemas(&mut without_null, schema);
    let null = Value::from("null");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|one| *one != null);
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        values.retain(|one| !one.is_null());
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    let Some(Value::Array(either)) = schema.get_mut("anyOf") else {
        return;
    };
    either.retain(|one| one.get("type") != Some(&null));
    if let [Value::Object(only)] = either.as_slice() {
        let only = only.clone();
        schema.remove("anyOf");
        for (key, value) in only {
            schema.ensure_object().entry(key).or_insert(value);
        }
    }
}

/// Types that stand for what a value looks like, where the one that reads it does not tell.
macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident = $schema:tt;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

/// Texts: what each says, and one of them.
macro_rules! texts {
    ($($name:ident: $title:literal, $example:literal;)*) => {
        schemas! {$(
            #[doc = concat!("A text: ", $title, ", as `", $example, "`.")]
            $name = { "type": "string", "title": $title, "examples": [$example] };
        )*}
    };
}

texts! {
    Duration: "duration", "1h 30m";
    Network: "address or CIDR", "203.0.113.0/24";
    Listen: "address and port", "127.0.0.1:8080";
    File: "file", "/etc/secbeat/api.crt";
    Socket: "path of a socket, or `\"\"` for none", "/run/secbeat-edge/api.sock";
    Folder: "folder", "/var/lib/secbeat/edge";
    HeaderName: "name of a header", "x-forwarded-for";
    NatsServer: "address of a NATS server", "nats://127.0.0.1:4222";
    Server: "address of a server", "http://127.0.0.1:8000";
    Host: "host", "*.example.org";
    HttpPath: "path", "/api";
    Paths: "paths", "/wp-*";
    HttpMethod: "method", "POST";
    UserAgent: "part of a user agent", "Googlebot";
    Name: "name", "web-1";
    Files: "file, or pattern of files", "/var/log/nginx/*.log";
    Unit: "unit of systemd", "nginx.service";
    TimeZone: "time zone", "Europe/Berlin";
    RuleIds: "id of a firewall's rule, or range of them", "950000-959999";
    TokenHash: "hash of a token", "sha256:…";
    Spool: "folder, or `off`", "spool";
}

schemas! {
    /// A point in time, as TOML has it.
    Instant = {
        "type": "string", "format": "date-time", "title": "time with its zone", "examples": ["2026-12-31T00:00:00Z"]
    };
    /// A format of an access log, or several.
    LogFormats = {
        "type": ["string", "array"],
        "items": { "type": "string" },
        "title": "format of a log, or list of them",
        "examples": ["combined", ["combined", "caddy-json"]]
    };
    /// A server, with or without its weight.
    WeightedServer = {
        "type": ["string", "object"],
        "title": "address of a server, or table with url and weight",
        "examples": ["http://127.0.0.1:8000", { "url": "http://127.0.0.1:8000", "weight": 2 }]
    };
    /// Interfaces.
    AutoOrNames = {
        "type": ["string", "array"],
        "items": { "type": "string" },
        "title": "`auto`, or list of names and patterns",
        "examples": ["auto", ["eth0", "wg*"]]
    };
    /// Ports.
    AllOrPorts = {
        "type": ["string", "array"],
        "items": { "type": "integer", "minimum": 1, "maximum": 65535 },
        "title": "`all`, or list of ports",
        "examples": ["all", [80, 443]]
    };
    /// A firewall's audit log.
    WafLogFormat = { "type": "string", "enum": ["modsecurity-json", "coraza-json"] };
    /// A status, or a range of them.
    HttpStatuses = { "type": ["integer", "string"], "title": "status, or range of them", "examples": [404, "401-403"] };
}
