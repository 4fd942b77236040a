//! Who is let in, who is told what, and from where one goes on.

use super::*;

fn hub(all: usize, address: usize) -> (Hub, CancellationToken) {
    let stop = CancellationToken::new();
    (Hub::new(stop.clone(), Caps { all, address }), stop)
}

fn anybody() -> Client {
    Client::default()
}

fn at(address: &str) -> Client {
    Client(address.parse().unwrap())
}

fn event() -> EventSlug {
    "birthday-3".parse().unwrap()
}

fn tell(hub: &Hub, topic: Topic) {
    hub.tell(&event(), topic, || Some("{}".to_owned()));
}

#[tokio::test]
async fn streams_are_counted_and_forgotten() {
    let (hub, _stop) = hub(10, 10);
    let id = SubmissionId::new();
    let one = at("192.0.2.1");
    let (first, second) = (hub.follow_submission(id, one), hub.follow_submission(id, one));
    assert_eq!(hub.streams(), 2);
    assert_eq!(hub.followed(), [id]);
    drop(first);
    assert_eq!(lock(&hub.0.submissions).len(), 1);
    drop(second);
    assert_eq!((lock(&hub.0.submissions).len(), hub.streams()), (0, 0));
    assert!(lock(&hub.0.addresses).is_empty());
}

#[tokio::test]
async fn a_process_holds_so_many_streams_and_no_more() {
    let (hub, _stop) = hub(3, 10);
    let mut open: Vec<_> =
        (0..3).map(|_| hub.follow_event(&event(), anybody(), None).unwrap()).collect();
    let refused = hub.follow_event(&event(), anybody(), None).unwrap_err();
    assert!(matches!(refused, ApiError::TooManyStreams), "{refused}");
    let refused = hub.follow_submission(SubmissionId::new(), at("192.0.2.1")).unwrap_err();
    assert!(matches!(refused, ApiError::TooManyStreams), "{refused}");
    assert!(lock(&hub.0.addresses).is_empty(), "a refusal counts nowhere");
    open.pop();
    hub.follow_event(&event(), anybody(), None).unwrap();
}

#[tokio::test]
async fn an_address_holds_so_many_streams_and_no_more() {
    let (hub, _stop) = hub(100, 2);
    let follow = |client| hub.follow_submission(SubmissionId::new(), client);
    let mut open: Vec<_> = (0..2).map(|_| follow(at("2001:db8::1")).unwrap()).collect();
    for same in ["2001:db8::1", "2001:db8::2"] {
        let refused = follow(at(same)).unwrap_err();
        assert!(matches!(refused, ApiError::TooManyStreamsHere), "{refused}");
    }
    assert_eq!(hub.streams(), 2, "a refusal counts nowhere");
    let other = follow(at("2001:db8:0:1::1")).unwrap();
    open.pop();
    open.push(follow(at("2001:db8::2")).unwrap());
    drop((open, other));
    let nobody: Vec<_> = (0..10).map(|_| follow(anybody()).unwrap()).collect();
    assert_eq!((hub.streams(), nobody.len()), (10, 10), "who cannot be told apart");
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_dropped() {
    let (hub, _stop) = hub(10, 10);
    let mut slow = hub.follow_event(&event(), anybody(), None).unwrap();
    for _ in 0..audience::BEHIND {
        tell(&hub, Topic::Stats);
    }
    for n in 1..=audience::BEHIND as u64 {
        assert_eq!(slow.next().await.unwrap().number, n, "so far it may");
    }
    for _ in 0..=audience::BEHIND {
        tell(&hub, Topic::Stats);
    }
    assert!(slow.next().await.is_none());
}

#[tokio::test]
async fn whoever_comes_back_goes_on_or_begins_again() {
    let (hub, _stop) = hub(10, 10);
    let mut first = hub.follow_event(&event(), anybody(), None).unwrap();
    assert_eq!(first.begins, Begins::Fresh);
    let nothing = first.first_id();
    tell(&hub, Topic::Pin);
    let seen = first.next().await.unwrap();
    let seen = first.id(&seen);
    drop(first);
    tell(&hub, Topic::Pin);
    let come_back = |id: &str| hub.follow_event(&event(), anybody(), Some(id)).unwrap();
    let mut again = come_back(&seen);
    assert_eq!(again.begins, Begins::Resumed);
    assert_eq!(again.next().await.unwrap().number, 2, "told while nobody listened");
    tell(&hub, Topic::Pin);
    assert_eq!(again.next().await.unwrap().number, 3, "once");
    assert_eq!(come_back(&nothing).missed.len(), 3);
    let (other, _stop) = self::hub(10, 10);
    let foreign = other.follow_event(&event(), anybody(), None).unwrap().first_id();
    let later = seen.replace("-1", "-4");
    for id in ["", "1", "x-1", "-", &foreign, &later, &format!("{seen}0")] {
        assert_eq!(come_back(id).begins, Begins::Again, "{id}");
    }
    hub.missed_something();
    assert_eq!(come_back(&seen).begins, Begins::Again, "something may be missing");
}

#[tokio::test]
async fn streams_end_with_the_process() {
    let (hub, stop) = hub(10, 10);
    let mut stream = hub.follow_submission(SubmissionId::new(), anybody()).unwrap();
    let mut other = hub.follow_event(&event(), anybody(), None).unwrap();
    stop.cancel();
    assert!(stream.next().await.is_none() && other.next().await.is_none());
}

#[tokio::test]
async fn only_events_with_followers_get_stale_and_only_once() {
    let (hub, _stop) = hub(10, 10);
    let stream = hub.follow_event(&event(), anybody(), None).unwrap();
    hub.missed_something();
    assert_eq!(hub.stale_stats(), [event()]);
    assert!(hub.stale_stats().is_empty());
    drop(stream);
    hub.missed_something();
    assert!(hub.stale_stats().is_empty(), "nobody wants to know");
}

#[tokio::test]
async fn a_revision_is_told_once_and_only_if_it_is_new() {
    let (hub, _stop) = hub(10, 10);
    let id = SubmissionId::new();
    let mut stream = hub.follow_submission(id, anybody()).unwrap();
    hub.submission_is_at(id, 3);
    assert!(matches!(stream.next().await, Some(News::Revision(3))));
    hub.submission_is_at(id, 3);
    hub.submission_is_at(id, 2);
    assert!(!stream.news.has_changed().unwrap());
    hub.submission_is_at(id, 4);
    assert!(matches!(stream.next().await, Some(News::Revision(4))));
}
