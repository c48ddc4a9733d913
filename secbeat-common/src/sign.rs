//! Commands that nobody but an orchestrator can have written: signed with Ed25519 (RFC 8032) by a [`Signer`], read by anyone who
//! has [`Trust`] in its key.
//!
//! A signature covers what the message is for, the message, and the revision of the bucket after which it was written. So a
//! command cannot be taken for one of another kind, and what has been replaced once does not come back
//! ([`Opened::after`]): anyone who may read a bucket on the bus can have a stored message delivered onto any subject. For the
//! same reason a message names its target, whatever the key under which it stands. Keys are written as NATS writes its
//! own: `SV…` signs, `V…` is its public half.

use std::{collections::HashMap, fmt, str::FromStr};

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey, verify_batch};
use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};

use crate::wire::{self, Decoded, Kind, Message, WireError};

/// A message that edges accept. Its kind is what it is for.
pub trait Command: Message {}

/// The first bytes of a public key, by which its owner is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Most bytes that a seal adds to a command.
pub const MAX_SEAL: usize = 128;

/// A command as it stands in a bucket. It has no parts: no signature would cover them. Those of the command are in its body.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// See [`Opened::after`].
    after: u64,
    signature: Option<Stamp>,
    /// The encoded command.
    body: Vec<u8>,
}

impl Message for Envelope {
    const KIND: Kind = Kind::Sealed;
}

#[derive(Debug, Serialize, Deserialize)]
struct Stamp {
    key: KeyId,
    /// R and S.
    halves: [[u8; 32]; 2],
}

/// The reason why a command is not to be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("it has parts that no signature covers")]
    Uncovered,
    #[error("it is not signed")]
    Unsigned,
    #[error("its signature is of the key {0}, which is not trusted")]
    UnknownKey(KeyId),
    #[error("its signature is wrong")]
    Forged,
}

/// A text that is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadKey(&'static str);

/// A key that signs, `SV…`.
#[derive(Clone)]
pub struct SecretKey {
    key: SigningKey,
    text: String,
    public: PublicKey,
}

impl SecretKey {
    /// A new one, of the system's randomness.
    ///
    /// # Errors
    ///
    /// [`BadKey`], never in practice.
    pub fn generate() -> Result<Self, BadKey> {
        let seed = KeyPair::new_service().seed();
        seed.map_err(|_| NO_SECRET)?.parse()
    }

    /// Its public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// `SV…`: anyone who has it can ban any client.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret key of {}", self.public)
    }
}

impl FromStr for SecretKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let text = text.trim();
        let pair = KeyPair::from_seed(text).map_err(|_| NO_SECRET)?;
        let (_, seed) = nkeys::decode_seed(text).map_err(|_| NO_SECRET)?;
        if pair.key_pair_type() != KeyPairType::Service {
            return Err(NO_SECRET);
        }
        Ok(Self {
            key: SigningKey::from_bytes(&seed),
            text: text.to_owned(),
            public: pair.public_key().parse()?,
        })
    }
}

/// A key that tells whose command it is, `V…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    text: String,
}

impl PublicKey {
    /// By which commands name it.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let mut id = KeyId::default();
        id.0.iter_mut()
            .zip(self.key.as_bytes())
            .for_each(|(id, byte)| *id = *byte);
        id
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let text = text.trim();
        let (kind, bytes) = nkeys::from_public_key(text).map_err(|_| NO_PUBLIC)?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| NO_PUBLIC)?;
        match KeyPairType::from(kind) {
            KeyPairType::Service => Ok(Self {
                key,
                text: text.to_owned(),
            }),
            _ => Err(NO_PUBLIC),
        }
    }
}

/// Not the text: it may be another key's secret.
const NO_SECRET: BadKey = BadKey("no secret key of a signer, which begins with SV");
const NO_PUBLIC: BadKey = BadKey("no public key of a signer, which begins with V");

/// Signs commands, or, where there is no key, leaves them unsigned.
#[derive(Clone, Debug, Default)]
pub struct Signer(Option<SecretKey>);

impl From<Option<SecretKey>> for Signer {
    fn from(key: Option<SecretKey>) -> Self {
        Self(key)
    }
}

impl Signer {
    /// Returns `command` as it is stored in its bucket, by a writer that has read the bucket up to revision `after`.
    ///
    /// # Errors
    ///
    /// Returns an error if it is too large for a message.
    pub fn seal<C: Command>(&self, command: &C, after: u64) -> Result<Vec<u8>, WireError> {
        let body = wire::encode(command)?;
        let signature = self.0.as_ref().map(|secret| {
            let signature = secret.key.sign(&signed::<C>(after, &body));
            Stamp {
                key: secret.public.id(),
                halves: [*signature.r_bytes(), *signature.s_bytes()],
            }
        });
        wire::encode(&Envelope {
            after,
            signature,
            body,
        })
    }
}

/// The keys whose commands count. Without any, all commands do.
#[derive(Clone, Debug, Default)]
pub struct Trust(HashMap<KeyId, VerifyingKey>);

/// A command whose signature is right, if there has to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened<C> {
    pub command: C,
    /// The latest revision in the whole bucket that its writer had seen. A bucket takes a write only over the latest revision
    /// of its key, which its writer has to know: a command that follows a later one of its key than this was there before.
    pub after: u64,
    /// As [`Decoded::skipped`].
    pub skipped: u32,
}

impl<'a> FromIterator<&'a PublicKey> for Trust {
    fn from_iter<I: IntoIterator<Item = &'a PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.id(), key.key)).collect())
    }
}

impl Trust {
    /// Whether commands have to be signed.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        !self.0.is_empty()
    }

    /// The command in `bytes`.
    ///
    /// # Errors
    ///
    /// [`Untrusted`].
    pub fn open<C: Command>(&self, bytes: &[u8]) -> Result<Opened<C>, Untrusted> {
        let envelope = Envelope::read(bytes)?;
        if let Some((signature, by)) = self.signature(&envelope)? {
            by.verify_strict(&envelope.signed::<C>(), &signature)
                .map_err(|_| Untrusted::Forged)?;
        }
        envelope.into_command()
    }

    /// The same for many commands, at about half the cost of each.
    pub fn open_all<C: Command>(&self, sealed: &[&[u8]]) -> Vec<Result<Opened<C>, Untrusted>> {
        // Of a batch of one, or where nothing is verified, nothing is gained.
        if sealed.len() < 2 || !self.is_needed() {
            return sealed.iter().map(|bytes| self.open(bytes)).collect();
        }
        let mut envelopes = Vec::with_capacity(sealed.len());
        let (mut messages, mut signatures, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for bytes in sealed {
            let checked = Envelope::read(bytes).and_then(|envelope| {
                if let Some((signature, by)) = self.signature(&envelope)? {
                    messages.push(envelope.signed::<C>());
                    signatures.push(signature);
                    keys.push(*by);
                }
                Ok(envelope)
            });
            envelopes.push(checked);
        }
        let messages: Vec<_> = messages.iter().map(Vec::as_slice).collect();
        if verify_batch(&messages, &signatures, &keys).is_err() {
            // Which of them is wrong, only each by itself can tell.
            return sealed.iter().map(|bytes| self.open(bytes)).collect();
        }
        let opened = |envelope: Result<Envelope, _>| envelope.and_then(Envelope::into_command);
        envelopes.into_iter().map(opened).collect()
    }

    /// Returns what is to be verified, and by which key; nothing if all commands count.
    fn signature(&self, envelope: &Envelope) -> Result<Option<(Signature, &VerifyingKey)>, Untrusted> {
        if !self.is_needed() {
            return Ok(None);
        }
        let stamp = envelope.signature.as_ref().ok_or(Untrusted::Unsigned)?;
        let key = self.0.get(&stamp.key).ok_or(Untrusted::UnknownKey(stamp.key))?;
        let [r, s] = stamp.halves;
        Ok(Some((Signature::from_components(r, s), key)))
    }
}

impl Envelope {
    fn read(bytes: &[u8]) -> Result<Self, Untrusted> {
        match wire::decode_counted(bytes)? {
            Decoded { message, skipped: 0 } => Ok(message),
            _ => Err(Untrusted::Uncovered),
        }
    }

    fn signed<C: Command>(&self) -> Vec<u8> {
        signed::<C>(self.after, &self.body)
    }

    fn into_command<C: Command>(self) -> Result<Opened<C>, Untrusted> {
        let Decoded { message, skipped } = wire::decode_counted(&self.body)?;
        Ok(Opened {
            command: message,
            after: self.after,
            skipped,
        })
    }
}

/// Returns what a signature covers. No name of a kind contains a zero byte.
fn signed<C: Command>(after: u64, body: &[u8]) -> Vec<u8> {
    [
        b"secbeat ",
        C::KIND.name().as_bytes(),
        b"\0",
        &after.to_be_bytes(),
        body,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Order(String);
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Other(String);
    impl Message for Order {
        const KIND: Kind = Kind::Ban;
    }
    impl Message for Other {
        const KIND: Kind = Kind::Lift;
    }
    impl Command for Order {}
    impl Command for Other {}

    /// Of no use but here.
    fn key(seed: u8) -> SecretKey {
        let pair = KeyPair::new_from_raw(KeyPairType::Service, [seed; 32]).unwrap();
        pair.seed().unwrap().parse().unwrap()
    }

    fn trust(keys: &[&SecretKey]) -> Trust {
        keys.iter().map(|key| key.public()).collect()
    }

    fn signer(key: &SecretKey) -> Signer {
        Some(key.clone()).into()
    }

    fn order() -> Order {
        Order("ban 198.51.100.7".to_owned())
    }

    fn opened(after: u64) -> Opened<Order> {
        Opened {
            command: order(),
            after,
            skipped: 0,
        }
    }

    #[test]
    fn keys_are_nkeys_and_no_others_will_do() {
        let secret = key(7);
        assert_eq!(secret.reveal(), GOLDEN_SECRET);
        assert_eq!(secret.public().to_string(), GOLDEN_PUBLIC);
        assert_eq!(GOLDEN_PUBLIC.parse().as_ref(), Ok(secret.public()));
        assert!(!format!("{secret:?}").contains(GOLDEN_SECRET));
        let user = KeyPair::new_user();
        for text in [GOLDEN_PUBLIC, "", "SV", &user.seed().unwrap()] {
            assert_eq!(text.parse::<SecretKey>().unwrap_err(), NO_SECRET, "{text}");
        }
        for text in [GOLDEN_SECRET, "", &user.public_key()] {
            assert_eq!(text.parse::<PublicKey>().unwrap_err(), NO_PUBLIC, "{text}");
        }
        let new = SecretKey::generate().unwrap();
        assert_ne!(new.public().id(), SecretKey::generate().unwrap().public().id());
    }

    const GOLDEN_SECRET: &str = "SVAAOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBYHA4DQOBZ4JI";
    const GOLDEN_PUBLIC: &str = "VDVEU3DD4KOFECV66VIHWEZOYX4ZKR3WV27L464SIIPOU2IUI3JCYLIL";

    #[test]
    fn what_a_trusted_key_signed_is_obeyed_for_its_purpose_alone() {
        let (ours, theirs) = (key(1), key(2));
        let trust = trust(&[&ours]);
        let sealed = signer(&ours).seal(&order(), 9).unwrap();
        assert_eq!(trust.open(&sealed), Ok(opened(9)));
        assert_eq!(trust.open::<Other>(&sealed), Err(Untrusted::Forged));
        let foreign = signer(&theirs).seal(&order(), 9).unwrap();
        let unknown = Untrusted::UnknownKey(theirs.public().id());
        assert_eq!(trust.open::<Order>(&foreign), Err(unknown));
        let unsigned = Signer::default().seal(&order(), 0).unwrap();
        assert_eq!(trust.open::<Order>(&unsigned), Err(Untrusted::Unsigned));
    }

    #[test]
    fn where_no_key_is_trusted_all_commands_count() {
        for signer in [Signer::default(), signer(&key(1))] {
            let sealed = signer.seal(&order(), 3).unwrap();
            assert_eq!(Trust::default().open(&sealed), Ok(opened(3)));
        }
    }

    #[test]
    fn among_many_each_gets_its_own_verdict() {
        let (ours, theirs) = (key(1), key(2));
        let trust = trust(&[&ours]);
        let good = signer(&ours).seal(&order(), 0).unwrap();
        let mut bent = good.clone();
        // The last byte is the number of parts, and not signed.
        let signed = bent.len() - 2;
        bent[signed] ^= 1;
        let foreign = signer(&theirs).seal(&order(), 0).unwrap();
        assert_eq!(trust.open_all(&[&good, &good]), [Ok(opened(0)), Ok(opened(0))]);
        let verdicts = trust.open_all::<Order>(&[&good, &bent, &foreign, b"x", &good]);
        let kinds: Vec<_> = verdicts
            .iter()
            .map(|verdict| match verdict {
                Ok(_) => "good",
                Err(Untrusted::Forged) => "forged",
                Err(Untrusted::UnknownKey(_)) => "unknown",
                Err(_) => "else",
            })
            .collect();
        assert_eq!(kinds, ["good", "forged", "unknown", "else", "good"]);
    }

    proptest! {
        #[test]
        fn no_other_bytes_open(at in 0..200usize, bit in 0..8u8) {
            let ours = key(1);
            let mut sealed = signer(&ours).seal(&order(), 77).unwrap();
            let at = at % sealed.len();
            sealed[at] ^= 1 << bit;
            prop_assert!(trust(&[&ours]).open::<Order>(&sealed).is_err());
        }
    }
}
