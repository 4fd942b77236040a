//! Rehearsals in the store: behind everybody in the line, marked in every version, and taken away
//! whole, without anything of the event that they rehearse.

use portcall_shared::{
    domain::{event_file, ids::WorkerId},
    store::{
        events::AppliedEvent,
        queue::{Claimant, Queue},
        rehearsals::{self, Made, Removed},
        search::Detail,
    },
};

use crate::subject::{InMongo, Subject, now, submission};

fn file(slug: &str, title: &str) -> String {
    format!("slug = \"{slug}\"\ntitle = \"{title}\"\n[[checks]]\nname = \"c\"\nget = \"/\"\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_waits_behind_everybody_and_goes_whole() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    let real = submission("Ann", now()).event;
    let source = file(real.as_str(), "Real");
    store.apply_event(&event_file::parse(&source).unwrap(), &source).await.unwrap();

    let shadow: portcall_shared::domain::ids::EventSlug = "e-rehearsal-1".parse().unwrap();
    let source = file(shadow.as_str(), "Rehearsal");
    let rules = event_file::parse(&source).unwrap();
    assert_eq!(store.make_shadow(&rules, &source, &real).await.unwrap(), Made::New);
    assert_eq!(store.make_shadow(&rules, &source, &real).await.unwrap(), Made::Taken);
    let version = store.event(&shadow).await.unwrap().unwrap();
    assert_eq!(version.shadow_of.as_ref(), Some(&real));

    // Three of the rehearsal's came first, and those of the event have their turn before them.
    for name in ["R1", "R2", "R3"] {
        let mut one = submission(name, now());
        one.event = shadow.clone();
        one.order = rehearsals::turn(&version, one.created_at);
        subject.put(one).await;
    }
    let mut own = Vec::new();
    for name in ["Ann", "Bob"] {
        own.push(subject.put(submission(name, now())).await.id);
    }
    let by = Claimant { id: WorkerId::new(), name: "w".into() };
    for id in &own {
        assert_eq!(store.claim(&by).await.unwrap().unwrap().id, *id);
    }
    assert_eq!(store.claim(&by).await.unwrap().unwrap().event, shadow, "then its own");

    // Another version of its rules is a rehearsal too.
    let source = file(shadow.as_str(), "Another");
    let applied = store.apply_event(&event_file::parse(&source).unwrap(), &source).await.unwrap();
    assert_eq!(applied, AppliedEvent::Version(2));
    let shadows = store.shadows(&real).await.unwrap();
    assert_eq!(
        shadows.iter().map(|v| (&v.event.slug, v.version)).collect::<Vec<_>>(),
        [(&shadow, 2)]
    );

    assert_eq!(store.cancel_shadow(&real).await.unwrap(), 0, "no shadow");
    assert_eq!(store.remove_shadow(&real).await.unwrap(), Removed::Nothing);
    assert_eq!(store.cancel_shadow(&shadow).await.unwrap(), 3, "one is being graded");
    assert!(store.claim(&by).await.unwrap().is_none(), "nobody begins with one any more");
    assert_eq!(store.remove_shadow(&shadow).await.unwrap(), Removed::Shadow { submissions: 3 });
    assert_eq!(store.remove_shadow(&shadow).await.unwrap(), Removed::Nothing, "it is gone");
    assert!(store.event(&shadow).await.unwrap().is_none());
    assert!(store.all_of_event(&shadow, Detail::Heads, None, 9).await.unwrap().is_empty());
    assert_eq!(store.all_of_event(&real, Detail::Heads, None, 9).await.unwrap().len(), 2);
    assert!(store.event(&real).await.unwrap().is_some());
    subject.close().await;
}
