//! Description of a signature.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumCount, EnumString, IntoStaticStr, VariantArray};

use crate::request::Sample;

/// Most bytes of an id.
pub const MAX_ID: usize = 40;
/// Most bytes of a title, of a reference and of a value that is looked for.
pub(crate) const MAX_TEXT: usize = 256;

/// How bad it is that somebody asks for it, from the least on.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; ordinary programs may ask for it as well.
    Info,
    /// Programs that look around.
    Low,
    /// Looks for a weak spot.
    Medium,
    /// Would learn a secret, or tries an attack that needs luck.
    High,
    /// Would run code, or reads files of the system: nobody sends that by mistake.
    Critical,
}

/// What kind of attack it is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Class {
    /// Panels and consoles of administrators that no link leads to.
    AdminProbe,
    /// Copies of code and of data that somebody left.
    BackupFile,
    /// Metadata services of clouds, asked for through the server.
    CloudMetadata,
    /// A published hole in a product.
    Cve,
    /// Objects that run code when they are read.
    Deserialization,
    /// What a product tells of itself.
    InfoLeak,
    /// Log4Shell, CVE-2021-44228.
    Log4shell,
    /// Redirections to the sites of others.
    OpenRedirect,
    /// Signatures of an operator's own that are of no other class.
    Other,
    /// PHPUnit and other test tools that run code.
    PhpUnit,
    /// Requests that are none, or that mean two things to two servers.
    Protocol,
    /// Code that the server shall run.
    Rce,
    /// Routers, cameras and other devices.
    Router,
    /// Names of scanners.
    ScannerAgent,
    /// Files with secrets.
    SensitiveFile,
    /// Injected SQL.
    Sqli,
    /// Requests that the server shall make.
    Ssrf,
    /// Injected templates.
    Ssti,
    /// Paths that lead out of a folder.
    Traversal,
    /// Folders of version control.
    Vcs,
    /// Back doors that somebody else may have left.
    Webshell,
    /// Injected script.
    Xss,
    /// Injected XML.
    Xxe,
}

/// A part of a request that is looked at.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Display, EnumCount, EnumString, VariantArray,
)]
#[strum(serialize_all = "kebab-case")]
pub enum Field {
    /// The target up to the first question mark.
    Path,
    /// What follows it.
    Query,
    UserAgent,
    Referer,
    Host,
    /// Where requests are seen whole, as in the proxy.
    ContentType,
    /// Each line, as `name: value`, where requests are seen whole.
    Header,
}

/// A signature, but for what it looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Up to [`MAX_ID`] lower-case letters, digits and hyphens.
    pub id: String,
    pub title: String,
    pub class: Class,
    pub severity: Severity,
    /// Where it is described: ids of CVEs, and documents.
    pub references: Vec<String>,
    /// The file that it is in.
    pub file: String,
    /// Its line there, from 1 on.
    pub line: usize,
    /// Requests that match.
    pub must: Vec<Sample>,
    /// Requests that do not.
    pub must_not: Vec<Sample>,
}
