//! `portcall images`: the images that machines went down under, and what operators say of them.

use clap::{Args, Subcommand};
use portcall_shared::{
    domain::{
        image::Digest,
        suspicion::{Loss, Standing},
    },
    store::{Store, suspects::Suspect},
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    failure::Failure,
    orders::{say, who},
};

#[derive(Args)]
pub(crate) struct ImagesArgs {
    #[command(subcommand)]
    command: Option<ImagesCommand>,
    /// Prints JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum ImagesCommand {
    /// Has an image graded like any other; its losses count no more. What ended as undetermined
    /// is not queued again by this: organisers do that, one by one.
    Clear(ImageArgs),
    /// Has an image graded alone, if possible on a machine that did not go down under it.
    Quarantine(ImageArgs),
    /// Has an image not graded at all.
    Refuse(ImageArgs),
}

#[derive(Args)]
struct ImageArgs {
    /// The image's digest, `sha256:…`.
    digest: String,
    /// Why.
    #[arg(long)]
    note: Option<String>,
}

pub(crate) async fn run(args: ImagesArgs, store: &Store) -> Result<(), Failure> {
    let (image, standing) = match args.command {
        None => {
            let suspects = store.suspects().await?;
            say(&if args.json { in_json(&suspects) } else { table(&suspects) });
            return Ok(());
        }
        Some(ImagesCommand::Clear(image)) => (image, Standing::Cleared),
        Some(ImagesCommand::Quarantine(image)) => (image, Standing::Quarantined),
        Some(ImagesCommand::Refuse(image)) => (image, Standing::Poison),
    };
    let digest: Digest = image
        .digest
        .parse()
        .map_err(|_| Failure::Usage(format!("`{}` is not a digest, sha256:…", image.digest)))?;
    let suspect = store.order_standing(&digest, standing, &who(), image.note.as_deref()).await?;
    let all = std::slice::from_ref(&suspect);
    say(&if args.json { in_json(all) } else { table(all) });
    Ok(())
}

fn table(suspects: &[Suspect]) -> String {
    if suspects.is_empty() {
        return "No machine went down under an image.".to_owned();
    }
    let mut lines = Vec::new();
    for suspect in suspects {
        let known = &suspect.suspicion;
        let standing = known.standing.as_str();
        let now = if known.turn.is_some() { ", graded alone now" } else { "" };
        lines.push(format!("{}  {standing}{now}", suspect.digest));
        for loss in &known.losses {
            let counts =
                if known.counting.contains(&loss.attempt) { "" } else { ", counts no more" };
            lines.push(format!("    {}{counts}", told(loss)));
        }
        for order in &suspect.orders {
            let note = order.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
            lines.push(format!("    {} {} by {}{note}", when(order.at), order.standing, order.by));
        }
    }
    lines.join("\n")
}

fn told(loss: &Loss) -> String {
    let node = loss.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
    let alone = if loss.alone { ", alone" } else { "" };
    let (at, machine, id) = (when(loss.at), &loss.machine, loss.attempt.submission);
    format!("{at} {machine} went down{alone}, with submission {id}{node}")
}

fn when(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

fn in_json(suspects: &[Suspect]) -> String {
    let loss = |suspect: &Suspect, loss: &Loss| {
        json!({
            "at": when(loss.at),
            "machine": loss.machine,
            "worker": loss.worker,
            "node": loss.node,
            "alone": loss.alone,
            "counts": suspect.suspicion.counting.contains(&loss.attempt),
            "submission": loss.attempt.submission.to_string(),
        })
    };
    let one = |suspect: &Suspect| {
        let losses = suspect.suspicion.losses.iter().map(|it| loss(suspect, it));
        let orders = suspect.orders.iter().map(|order| {
            json!({
                "standing": order.standing,
                "by": order.by,
                "at": when(order.at),
                "note": order.note,
            })
        });
        json!({
            "digest": suspect.digest.as_str(),
            "standing": suspect.suspicion.standing.as_str(),
            "changed_at": when(suspect.changed_at),
            "graded_alone_now": suspect.suspicion.turn.is_some(),
            "losses": losses.collect::<Vec<Value>>(),
            "orders": orders.collect::<Vec<Value>>(),
        })
    };
    format!("{:#}", Value::Array(suspects.iter().map(one).collect()))
}

#[cfg(test)]
mod tests {
    use portcall_shared::{
        domain::{
            ids::{Generation, SubmissionId},
            suspicion::{Attempt, Suspicion},
        },
        store::suspects::Order,
    };

    use super::*;

    #[test]
    fn the_list_says_what_went_down_and_who_said_what() {
        let attempt = Attempt {
            submission: SubmissionId::from(uuid::Uuid::nil()),
            generation: Generation(1),
        };
        let at = OffsetDateTime::UNIX_EPOCH;
        let loss = Loss {
            attempt,
            at,
            machine: "worker w1".into(),
            worker: "w1".into(),
            node: Some("g1".into()),
            with: Default::default(),
            alone: true,
        };
        let (losses, standing) = (vec![loss], Standing::Poison);
        let suspicion = Suspicion { standing, losses, counting: vec![attempt], turn: None };
        let note = Some("a kernel bug".to_owned());
        let order = Order { standing: "poison".into(), by: "ann@m".into(), at, note };
        let digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let suspect = Suspect { digest, suspicion, changed_at: at, orders: vec![order] };
        let told = table(std::slice::from_ref(&suspect));
        for line in [
            "  poison",
            "worker w1 went down, alone, with submission 00000000-0000-0000-0000-000000000000 on g1",
            "poison by ann@m: a kernel bug",
        ] {
            assert!(told.contains(line), "{told}");
        }
        assert!(!told.contains("counts no more"), "{told}");
        let json: Value = serde_json::from_str(&in_json(&[suspect])).unwrap();
        assert_eq!(json[0]["losses"][0]["counts"], true);
        assert_eq!(table(&[]), "No machine went down under an image.");
    }
}
