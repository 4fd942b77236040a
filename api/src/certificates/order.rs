//! One order of a certificate, from the account to what is kept of it: the conversation of RFC 8555, 7.4.

use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeStatus, ChallengeType, Error,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use portcall_shared::store::certificates::{Challenge, ChallengeKind, Issued, account_id};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    acme::{Acme, AcmeError, CALM},
    pair::{Pair, Refused},
    settings::Proof,
};

/// How the authority is asked whether it is done.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(90));
/// Until every process shows what a TLS-ALPN-01 looks for: they look every [`CALM`]. HTTP-01 needs no
/// such pause, since who is asked for what it does not know looks at once.
const SPREAD: Duration = CALM.saturating_add(Duration::from_secs(3));

/// An order that is under way, as it is kept: whoever takes the turn over goes on with it.
#[derive(Deserialize, Serialize)]
struct Kept {
    url: String,
    /// The key that the certificate will be for, PKCS #8.
    key: Vec<u8>,
}

impl Acme {
    /// Orders a certificate, and keeps it in the store. What was ordered by a process that died is gone on
    /// with, where the authority still knows it.
    ///
    /// # Errors
    /// When there is none; nothing is kept then, except the order if the store cannot.
    pub(super) async fn order(&self, generation: i64) -> Result<(), AcmeError> {
        // Of whoever had the turn before and died.
        self.store.end_challenges(&self.set, generation - 1).await?;
        let account = self.account().await?;
        let (mut order, key) = match self.resumed(&account).await? {
            Some(resumed) => resumed,
            None => self.begun(&account).await?,
        };
        let issued = match self.carry_out(&mut order, &key, generation).await {
            Err(AcmeError::Store(error)) => return Err(error.into()),
            carried_out => carried_out,
        };
        if let Ok(issued) = &issued {
            self.store.keep_certificate(&self.set, &self.settings.domains, issued).await?;
        }
        self.store.forget_acme_secret(&self.set.order()).await?;
        issued.map(drop)
    }

    /// A new order.
    async fn begun(&self, account: &Account) -> Result<(Order, KeyPair), AcmeError> {
        let names: Vec<Identifier> =
            self.settings.domains.iter().cloned().map(Identifier::Dns).collect();
        let order = match account.new_order(&NewOrder::new(&names)).await {
            Ok(order) => order,
            Err(error) => return Err(self.without_account(error).await?),
        };
        let key = KeyPair::generate()?;
        let kept = Kept { url: order.url().to_owned(), key: key.serialize_der() };
        let id = self.set.order();
        let sealed = self.settings.sealer.seal(&id, &serde_json::to_vec(&kept)?);
        let sealed = sealed.map_err(|source| AcmeError::Sealed { what: "order", source })?;
        self.store.keep_acme_secret(&id, &sealed).await?;
        Ok((order, key))
    }

    /// The order that another process, or this one, left; none if that is over or cannot be read.
    async fn resumed(&self, account: &Account) -> Result<Option<(Order, KeyPair)>, AcmeError> {
        let id = self.set.order();
        let Some(sealed) = self.store.acme_secret(&id).await? else { return Ok(None) };
        let opened = self.settings.sealer.open(&id, &sealed).ok();
        let kept = opened.and_then(|opened| serde_json::from_slice::<Kept>(&opened).ok());
        if let Some(kept) = kept
            && let Ok(mut order) = account.order(kept.url).await
            && order.state().status != OrderStatus::Invalid
        {
            tracing::info!("going on with the order that there is");
            return Ok(Some((order, KeyPair::try_from(kept.key)?)));
        }
        self.store.forget_acme_secret(&id).await?;
        Ok(None)
    }

    async fn carry_out(
        &self,
        order: &mut Order,
        key: &KeyPair,
        generation: i64,
    ) -> Result<Issued, AcmeError> {
        if matches!(order.state().status, OrderStatus::Pending | OrderStatus::Ready) {
            self.prove(order, generation).await?;
            self.request(order, key).await?;
        }
        self.finish(order, key).await
    }

    /// The account at the authority, made at the first order.
    async fn account(&self) -> Result<Account, AcmeError> {
        let settings = &self.settings;
        let builder = match &settings.ca_file {
            Some(path) => Account::builder_with_root(path)?,
            None => Account::builder()?,
        };
        let id = self.account_id();
        if let Some(sealed) = self.store.acme_secret(&id).await? {
            let opened = settings.sealer.open(&id, &sealed);
            let opened = opened.map_err(|source| AcmeError::Sealed { what: "account", source })?;
            let credentials: AccountCredentials = serde_json::from_slice(&opened)?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact: Vec<&str> = settings.contact.as_deref().into_iter().collect();
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let (account, credentials) = builder.create(&new, settings.directory.clone(), None).await?;
        let sealed = settings.sealer.seal(&id, &serde_json::to_vec(&credentials)?);
        let sealed = sealed.map_err(|source| AcmeError::Sealed { what: "account", source })?;
        self.store.keep_acme_secret(&id, &sealed).await?;
        Ok(account)
    }

    fn account_id(&self) -> String {
        account_id(&self.settings.directory, self.settings.contact.as_deref())
    }

    /// The error, after forgetting an account that the authority does not know any more: the next try
    /// makes a new one.
    async fn without_account(&self, error: Error) -> Result<AcmeError, AcmeError> {
        let unknown = |of: &str| of == "urn:ietf:params:acme:error:accountDoesNotExist";
        if let Error::Api(problem) = &error
            && problem.r#type.as_deref().is_some_and(unknown)
        {
            self.store.forget_acme_secret(&self.account_id()).await?;
        }
        Ok(error.into())
    }

    /// Shows the authority that all names are ours.
    async fn prove(&self, order: &mut Order, generation: i64) -> Result<(), AcmeError> {
        let (kind, wanted) = match self.settings.proof {
            Proof::Http => (ChallengeKind::Http, ChallengeType::Http01),
            Proof::TlsAlpn => (ChallengeKind::TlsAlpn, ChallengeType::TlsAlpn01),
        };
        let mut shown = 0;
        let mut all = order.authorizations();
        while let Some(authorization) = all.next().await {
            let mut authorization = authorization?;
            // What was proven lately need not be proven again.
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(challenge) = authorization.challenge(wanted.clone()) else {
                return Err(AcmeError::NoChallenge { kind: kind.as_str(), name });
            };
            let token = challenge.token.clone();
            let authorization = challenge.key_authorization().as_str().to_owned();
            let challenge = Challenge { kind, name, token, authorization };
            self.store.show_challenge(&self.set, generation, &challenge).await?;
            shown += 1;
        }
        if shown > 0 {
            self.look().await?;
            if kind == ChallengeKind::TlsAlpn {
                tokio::time::sleep(SPREAD).await;
            }
            let mut all = order.authorizations();
            while let Some(authorization) = all.next().await {
                let mut authorization = authorization?;
                if authorization.status == AuthorizationStatus::Valid {
                    continue;
                }
                // Whoever had the order before may have said so already.
                if let Some(mut challenge) = authorization.challenge(wanted.clone())
                    && challenge.status == ChallengeStatus::Pending
                {
                    challenge.set_ready().await?;
                }
            }
        }
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => Err(AcmeError::Unproven(why(order).await)),
            Err(Error::Api(problem)) => {
                Err(AcmeError::Unproven(format!("{problem}; {}", why(order).await)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Has it issued for a key.
    async fn request(&self, order: &mut Order, key: &KeyPair) -> Result<(), AcmeError> {
        let mut params = CertificateParams::new(self.settings.domains.clone())?;
        params.distinguished_name = DistinguishedName::new();
        Ok(order.finalize_csr(params.serialize_request(key)?.der()).await?)
    }

    /// The certificate, once it is there.
    async fn finish(&self, order: &mut Order, key: &KeyPair) -> Result<Issued, AcmeError> {
        let names = &self.settings.domains;
        let chain = order.poll_certificate(&PATIENCE).await?;
        let key = key.serialize_der();
        let pair = Pair::with_pkcs8(chain.as_bytes(), key.clone())?;
        for name in names {
            let name = ServerName::try_from(name.clone()).map_err(|_| Refused::Certificate)?;
            pair.check_name(&name)?;
        }
        match pair.check_time(OffsetDateTime::now_utc()) {
            // Our clock may be a little behind the authority's.
            Ok(()) | Err(Refused::Early(_)) => {}
            Err(refused) => return Err(refused.into()),
        }
        let sealed = self.settings.sealer.seal(&self.set.id(), &key);
        let key = sealed.map_err(|source| AcmeError::Sealed { what: "certificate", source })?;
        Ok(Issued { chain, key, not_before: pair.not_before, not_after: pair.not_after })
    }
}

/// What the authority says of the names that are not proven.
async fn why(order: &mut Order) -> String {
    let mut told = Vec::new();
    let mut all = order.authorizations();
    while let Some(Ok(mut authorization)) = all.next().await {
        let name = authorization.identifier().to_string();
        if let Ok(state) = authorization.refresh().await {
            let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
            told.extend(errors.map(|error| format!("{name}: {error}")));
        }
    }
    told.join("; ")
}
