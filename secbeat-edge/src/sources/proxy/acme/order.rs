//! One order: from the account to the certificate.

use std::{fs, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow, bail, ensure};
use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Error, ExternalAccountKey, Identifier,
    NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use secbeat_daemon::time::wall_ms;
use secbeat_edge_core::Window;

use super::{
    super::config::{AcmeConfig, Challenge, ExternalAccount},
    challenges::{Challenges, Posed},
    client::{AcmeClient, in_ms},
    store::{Certificate, SavedAccount, Store, inspect},
};

/// For a validation, and for the certificate after that. A certificate authority is asked with growing pauses, or when it says.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(500))
    .backoff(1.5)
    .timeout(Duration::from_secs(120));

/// All that an order needs.
pub(super) struct Ordering<'a> {
    pub(super) config: &'a AcmeConfig,
    pub(super) store: &'a Store,
    pub(super) client: &'a AcmeClient,
    pub(super) challenges: &'a Arc<Challenges>,
}

impl Ordering<'_> {
    /// Gets a certificate for `domain` in place of `before`: the chain and the key, in PEM.
    ///
    /// # Errors
    ///
    /// Whatever is wrong at either side.
    pub(super) async fn obtain(
        &self,
        domain: &str,
        before: Option<&Certificate>,
    ) -> anyhow::Result<(Vec<u8>, Certificate)> {
        let mut order = self.order(domain, before).await?;
        let proven = self.prove(&mut order, domain).await;
        if let Err(error) = proven {
            let why = refusal(&mut order).await;
            return Err(why.unwrap_or(error));
        }
        let key = order.finalize().await.context("asking for the certificate")?;
        let chain = order.poll_certificate(&POLLING).await;
        let chain = chain.context("waiting for the certificate")?;
        let pem = format!("{}\n{key}", chain.trim_end()).into_bytes();
        let certificate =
            inspect(&pem, domain).context("the certificate authority's certificate cannot be used")?;
        ensure!(
            certificate.life.until_ms > wall_ms(),
            "the certificate authority's certificate has expired already: is this host's clock right?"
        );
        Ok((pem, certificate))
    }

    /// Returns when the certificate authority wants a certificate renewed, and how long that is its last word.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not say.
    pub(super) async fn window(&self, certificate: &Certificate) -> anyhow::Result<(Window, Duration)> {
        let id = certificate
            .id
            .as_ref()
            .context("the certificate has no key identifier")?;
        ensure!(self.store.account()?.is_some(), "there is no account to ask with");
        let account = self.account().await?;
        let (info, again) = account.renewal_info(id).await?;
        let window = Window {
            start_ms: in_ms(info.suggested_window.start.into()),
            end_ms: in_ms(info.suggested_window.end.into()),
        };
        Ok((window, again))
    }

    async fn order(&self, domain: &str, before: Option<&Certificate>) -> anyhow::Result<Order> {
        let names = [Identifier::Dns(domain.to_owned())];
        let mut account = self.account().await?;
        let replaced = before.and_then(|certificate| certificate.id.clone());
        if let Some(id) = replaced {
            // Which certificate it replaces spares the order some limits. Not every server knows of that, or of that certificate.
            let order = account.new_order(&NewOrder::new(&names).replaces(id)).await;
            match order {
                Ok(order) => return Ok(order),
                Err(error) if is_limit(&error) => return Err(error).context("making an order"),
                Err(error) => tracing::debug!(%error, "ordering without the certificate that is replaced"),
            }
        }
        let mut order = account.new_order(&NewOrder::new(&names)).await;
        if order.as_ref().is_err_and(is_unknown_account) {
            tracing::warn!(
                "the certificate authority does not know the account any more; there will be another one"
            );
            self.store.forget_account()?;
            account = self.account().await?;
            order = account.new_order(&NewOrder::new(&names)).await;
        }
        order.context("making an order")
    }

    async fn account(&self) -> anyhow::Result<Account> {
        let AcmeConfig {
            contact, directory, ..
        } = self.config;
        let builder = Account::builder_with_http(Box::new(self.client.clone()));
        let contacts: Vec<&str> = contact.iter().map(String::as_str).collect();
        if let Some(saved) = self.store.account()? {
            // The credentials are of one use only.
            let text = serde_json::to_string(&saved.credentials)?;
            let account = builder
                .from_credentials(saved.credentials)
                .await
                .context("using the account")?;
            if saved.contact != *contact {
                account
                    .update_contacts(&contacts)
                    .await
                    .context("changing the account's contacts")?;
                self.store.save_account(&SavedAccount {
                    contact: contact.clone(),
                    credentials: serde_json::from_str(&text)?,
                })?;
            }
            return Ok(account);
        }
        let external = self
            .config
            .external_account
            .as_ref()
            .map(external_key)
            .transpose()?;
        let new = NewAccount {
            contact: &contacts,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let created = builder.create(&new, directory.clone(), external.as_ref()).await;
        let (account, credentials) = created.context("making an account")?;
        self.store.save_account(&SavedAccount {
            contact: contact.clone(),
            credentials,
        })?;
        tracing::info!(
            account = account.id(),
            directory,
            "there is an account at the certificate authority"
        );
        Ok(account)
    }

    /// Shows that `domain` leads here.
    async fn prove(&self, order: &mut Order, domain: &str) -> anyhow::Result<()> {
        let mut posed: Option<Posed> = None;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.context("reading what is to be proven")?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => bail!("what is to be proven is {status:?} already"),
            }
            let challenge = self.config.challenge;
            let kind = match challenge {
                Challenge::Http01 => ChallengeType::Http01,
                Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            };
            let mut handle = authorization
                .challenge(kind)
                .with_context(|| format!("the certificate authority does not offer {}", challenge.name()))?;
            let answer = handle.key_authorization();
            posed = Some(match challenge {
                Challenge::Http01 => self.challenges.pose_http(&handle.token, answer.as_str()),
                Challenge::TlsAlpn01 => self.challenges.pose_tls(domain, answer.digest().as_ref())?,
            });
            if handle.status == ChallengeStatus::Pending {
                handle.set_ready().await.context("answering the challenge")?;
            }
        }
        let status = order
            .poll_ready(&POLLING)
            .await
            .context("waiting for the validation")?;
        drop(posed);
        match status {
            OrderStatus::Ready => Ok(()),
            _ => Err(anyhow!("the certificate authority could not validate the name")),
        }
    }
}

/// Returns why the certificate authority did not believe, if it says so.
async fn refusal(order: &mut Order) -> Option<anyhow::Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        let problem = state
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.clone());
        if let Some(problem) = problem {
            return Some(anyhow!(problem).context("the certificate authority could not validate the name"));
        }
    }
    None
}

fn problem(error: &Error) -> Option<&str> {
    match error {
        Error::Api(problem) => problem.r#type.as_deref(),
        _ => None,
    }
}

fn is_unknown_account(error: &Error) -> bool {
    problem(error) == Some("urn:ietf:params:acme:error:accountDoesNotExist")
}

fn is_limit(error: &Error) -> bool {
    problem(error) == Some("urn:ietf:params:acme:error:rateLimited")
}

fn external_key(account: &ExternalAccount) -> anyhow::Result<ExternalAccountKey> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let file = account.hmac_key_file.display();
    let reading = || format!("proxy.acme.external_account: reading {file}");
    let text = fs::read_to_string(&account.hmac_key_file).with_context(reading)?;
    // Some show it in plain base64.
    let text = text.trim().replace('+', "-").replace('/', "_");
    let key = LENIENT
        .decode(text)
        .with_context(|| format!("proxy.acme.external_account: {file} has no key in base64url"))?;
    Ok(ExternalAccountKey::new(account.kid.clone(), &key))
}
