//! `portcall token`: make, list and revoke the tokens of those who run events over HTTP.
//!
//! A token is printed once, alone on the standard output, so that it can go straight into a file or
//! a secret store; all explanations go to the standard error.

use std::str::FromStr;

use clap::{ArgGroup, Args, Subcommand};
use portcall_shared::{
    domain::{ids::EventSlug, text},
    store::{
        Store,
        tokens::{self, Role, Token},
    },
};
use time::{
    Date, Duration, OffsetDateTime, Time, format_description::well_known::Rfc3339,
    macros::format_description,
};
use uuid::Uuid;

use crate::failure::Failure;

/// Most characters of a name.
const LONGEST_NAME: usize = 64;
/// The longest time that a token may be good for, if it ends at all.
const LONGEST: Duration = Duration::days(3650);

#[derive(Subcommand)]
pub(crate) enum TokenCommand {
    /// Makes a token and prints it, this once.
    ///
    /// Its holder sends it with every request: `Authorization: Bearer <token>`. Only its hash is
    /// stored; one that is lost cannot be shown again: revoke it and make another.
    Create(CreateArgs),
    /// Lists the tokens, also those that are no longer good, without their secrets.
    List,
    /// Makes a token good no longer, from the next request on.
    Revoke {
        /// The token's id, as `portcall token list` shows it.
        id: TokenId,
    },
}

#[derive(Args)]
#[command(group = ArgGroup::new("role").required(true))]
pub(crate) struct CreateArgs {
    /// Whose it is, such as "Ann, laptop": the audit log names it.
    #[arg(long, value_parser = name)]
    name: String,
    /// For an operator: all events.
    #[arg(long, group = "role")]
    operator: bool,
    /// For an organiser: this event.
    #[arg(long, group = "role", value_name = "SLUG")]
    event: Option<EventSlug>,
    /// Until when it is good: for so long (12h, 30d, 8w), through a day (2026-12-31, UTC), or up to a
    /// moment (2026-12-31T12:00:00Z). Without it, until it is revoked.
    #[arg(long, value_name = "TIME")]
    expires: Option<Expiry>,
}

/// Until when a token is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// For so long from now.
    After(Duration),
    /// Until then.
    At(OffsetDateTime),
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = text.split_at(text.trim_end_matches(char::is_alphabetic).len());
        let unit = match unit {
            "h" => Some(Duration::HOUR),
            "d" => Some(Duration::DAY),
            "w" => Some(Duration::WEEK),
            _ => None,
        };
        if let (Ok(number), Some(unit)) = (number.parse::<u32>(), unit) {
            let long = i32::try_from(number).ok().and_then(|number| unit.checked_mul(number));
            return match long {
                Some(long) if long.is_positive() && long <= LONGEST => Ok(Self::After(long)),
                _ => Err(format!("expected from 1h to {}d", LONGEST.whole_days())),
            };
        }
        if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
            let after = day.next_day().ok_or("there is no day after it")?;
            return Ok(Self::At(after.with_time(Time::MIDNIGHT).assume_utc()));
        }
        OffsetDateTime::parse(text, &Rfc3339).map(Self::At).map_err(|_| {
            "expected a time such as 30d, 2026-12-31 or 2026-12-31T12:00:00Z".to_owned()
        })
    }
}

impl Expiry {
    /// The moment.
    fn from(self, now: OffsetDateTime) -> Result<OffsetDateTime, Failure> {
        match self {
            Self::After(long) => Ok(now + long),
            Self::At(at) if at <= now => {
                Err(Failure::Usage(format!("--expires: {} is past already", moment(at))))
            }
            Self::At(at) => Ok(at),
        }
    }
}

/// The id of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenId(Uuid);

impl FromStr for TokenId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with(tokens::PREFIX) {
            let advice = "this is a whole token, and revoking takes its id only; it may be in the \
                          history of this shell now";
            return Err(advice.to_owned());
        }
        let id = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
        id.map(Self).ok_or_else(|| "expected an id as `portcall token list` shows it".to_owned())
    }
}

fn name(text: &str) -> Result<String, String> {
    text::checked(text, LONGEST_NAME).map_err(|error| error.to_string())
}

impl TokenCommand {
    #[expect(clippy::print_stdout, reason = "this is what the command says to its user")]
    pub(crate) async fn run(self, store: &Store) -> Result<(), Failure> {
        match self {
            Self::Create(args) => println!("{}", create(args, store).await?),
            Self::List => {
                let now = OffsetDateTime::now_utc();
                println!("ID\tNAME\tFOR\tMADE\tSTATE");
                for token in store.tokens().await? {
                    println!("{}", line(&token, now));
                }
            }
            Self::Revoke { id: TokenId(id) } => println!("{}", revoke(id, store).await?),
        }
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "this is what the command says to its user")]
async fn create(args: CreateArgs, store: &Store) -> Result<String, Failure> {
    let expires = args.expires.map(|end| end.from(OffsetDateTime::now_utc())).transpose()?;
    let role = match args.event {
        None => Role::Operator,
        Some(slug) => {
            if store.event(&slug).await?.is_none() {
                let message = format!("no such event: {slug} (`portcall event list` has them)");
                return Err(Failure::Failed(message));
            }
            Role::Organiser(slug)
        }
    };
    let (token, secret) = store.create_token(&args.name, role, expires).await?;
    let until = match token.expires_at {
        Some(end) => format!("until {}", moment(end)),
        None => "until it is revoked".to_owned(),
    };
    eprintln!("token {} for {}, {}, good {until}", token.id, token.name, whose(&token));
    eprintln!(
        "It is shown this once. Send it as `Authorization: Bearer <token>`, never in an address."
    );
    eprintln!("`portcall token revoke {}` makes it good no longer.", token.id);
    Ok(secret)
}

async fn revoke(id: Uuid, store: &Store) -> Result<String, Failure> {
    let all = store.tokens().await?;
    let known = all.iter().find(|token| token.id == id);
    if let Some(at) = known.and_then(|token| token.revoked_at) {
        return Ok(format!("{id}: was revoked at {} already", moment(at)));
    }
    match store.revoke_token(id).await? {
        true => Ok(format!("{id}: revoked")),
        false => {
            let message = format!("no such token: {id} (`portcall token list` has them)");
            Err(Failure::Failed(message))
        }
    }
}

fn line(token: &Token, now: OffsetDateTime) -> String {
    let state = match (token.revoked_at, token.expires_at) {
        (Some(at), _) => format!("revoked {}", moment(at)),
        (None, Some(end)) if end <= now => format!("expired {}", moment(end)),
        (None, Some(end)) => format!("good until {}", moment(end)),
        (None, None) => "good".to_owned(),
    };
    let (whose, made) = (whose(token), moment(token.created_at));
    format!("{}\t{}\t{whose}\t{made}\t{state}", token.id, token.name)
}

/// What it is for.
fn whose(token: &Token) -> String {
    match &token.role {
        Role::Operator => "operator of all events".to_owned(),
        Role::Organiser(event) => format!("organiser of {event}"),
    }
}

fn moment(at: OffsetDateTime) -> String {
    at.format(format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"))
        .unwrap_or_else(|_| at.to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use time::macros::datetime;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        command: TokenCommand,
    }

    fn parse(words: &str) -> Result<TokenCommand, String> {
        let words = ["token"].into_iter().chain(words.split(' '));
        Cli::try_parse_from(words).map(|cli| cli.command).map_err(|error| error.to_string())
    }

    #[test]
    fn a_token_is_for_an_operator_or_for_one_event() {
        let good = ["--operator", "--event birthday-3", "--operator --expires 30d"];
        for role in good {
            assert!(parse(&format!("create --name Ann {role}")).is_ok(), "{role}");
        }
        for (words, said) in [
            ("create --name Ann", "required"),
            ("create --operator", "--name"),
            ("create --name Ann --operator --event e", "cannot be used with"),
            ("create --name Ann --event Not_A_Slug", "event slug"),
            ("create --name Ann --operator --expires soon", "30d"),
            ("create --name \u{202e} --operator", "U+202E"),
            ("revoke portcall_0190", "takes its id only"),
            ("revoke 0190", "portcall token list"),
        ] {
            let error = parse(words).err().unwrap_or_default();
            assert!(error.contains(said), "{words}: {error}");
        }
        let id = Uuid::now_v7();
        let Ok(TokenCommand::Revoke { id: read }) = parse(&format!("revoke {id}")) else {
            panic!("an id")
        };
        assert_eq!(read, TokenId(id));
    }

    #[test]
    fn until_when() {
        let read = |text: &str| text.parse::<Expiry>();
        assert_eq!(read("12h"), Ok(Expiry::After(Duration::hours(12))));
        assert_eq!(read("30d"), Ok(Expiry::After(Duration::days(30))));
        assert_eq!(read("8w"), Ok(Expiry::After(Duration::weeks(8))));
        assert_eq!(read("3650d"), Ok(Expiry::After(LONGEST)));
        assert_eq!(read("2026-12-31"), Ok(Expiry::At(datetime!(2027-01-01 0:00 UTC))));
        let moment = datetime!(2026-12-31 12:00 UTC);
        assert_eq!(read("2026-12-31T12:00:00Z"), Ok(Expiry::At(moment)));
        for bad in ["", "0d", "3651d", "4294967295w", "-1d", "1.5d", "30", "30m", "d", "2026-13-01"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        let before = moment - Duration::SECOND;
        assert_eq!(Expiry::At(moment).from(before).ok(), Some(moment));
        assert!(Expiry::At(moment).from(moment).is_err());
        assert_eq!(Expiry::After(Duration::DAY).from(before).ok(), Some(before + Duration::DAY));
    }

    #[test]
    fn a_list_says_what_is_good() {
        let now = datetime!(2026-03-20 0:00 UTC);
        let token = Token {
            id: Uuid::nil(),
            name: "Ann".to_owned(),
            role: Role::Organiser("e".parse().unwrap()),
            created_at: now,
            expires_at: None,
            revoked_at: None,
        };
        let state = |token: &Token| line(token, now).rsplit('\t').next().unwrap().to_owned();
        assert_eq!(state(&token), "good");
        assert!(line(&token, now).contains("\tAnn\torganiser of e\t2026-03-20T00:00:00Z\t"));
        let ends = |at| Token { expires_at: Some(at), ..token.clone() };
        assert_eq!(state(&ends(now)), "expired 2026-03-20T00:00:00Z");
        assert!(state(&ends(now + Duration::SECOND)).starts_with("good until"));
        let revoked = Token { revoked_at: Some(now), ..ends(now + Duration::SECOND) };
        assert_eq!(state(&revoked), "revoked 2026-03-20T00:00:00Z");
    }
}
