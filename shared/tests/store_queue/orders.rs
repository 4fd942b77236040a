//! Orders: each is written for itself, and leaves what else is said of its node as it is.

use bson::{Document, doc};
use portcall_shared::store::orders::{MOST_SLOTS, Orders, Whom, Withheld};

use crate::subject::{InMongo, Subject};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ordered_is_read_and_taken_back() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    assert_eq!(store.orders().await.unwrap(), Orders::default());

    store.order_drain("n1", "ann@m1").await.unwrap();
    let orders = store.orders().await.unwrap();
    assert_eq!(orders.drained("n1").map(|order| order.by.as_str()), Some("ann@m1"));
    assert_eq!(orders.drained("n2"), None);
    assert_eq!(store.order_canary("n1", "bob@m1").await.unwrap(), 1);
    assert_eq!(store.order_canary("n1", "bob@m1").await.unwrap(), 2);
    store.order_slots(Whom::Node("n1"), 3, "bob@m1").await.unwrap();
    store.note_withheld("n1", Withheld::ByWorker).await.unwrap();
    store.order_slots(Whom::All, MOST_SLOTS + 1, "ann@m1").await.unwrap();

    let orders = store.orders().await.unwrap();
    assert!(orders.drained("n1").is_some(), "it is as it was");
    assert_eq!((orders.canary("n1"), orders.canary("n2")), (2, 0));
    assert_eq!((orders.slots("n1"), orders.slots("n2")), (Some(3), Some(MOST_SLOTS)));
    assert!(orders.withheld("n1"));

    store.order_undrain("n1", "ann@m1").await.unwrap();
    store.note_withheld("n1", Withheld::NotByWorker).await.unwrap();
    store.order_slots(Whom::Node("n1"), 0, "bob@m1").await.unwrap();
    let orders = store.orders().await.unwrap();
    assert_eq!((orders.drained("n1"), orders.slots("n1")), (None, None));
    assert_eq!((orders.canary("n1"), orders.withheld("n1")), (2, false));
    subject.close().await;
}

/// A node may be called as anything: also as what stands for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_by_the_name_of_all_is_one_node() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    for name in ["all", "node all", "$set", "a.b", ""] {
        store.order_drain(name, "ann@m1").await.unwrap();
    }
    store.order_slots(Whom::Node("all"), 3, "ann@m1").await.unwrap();
    let orders = store.orders().await.unwrap();
    assert_eq!(orders.slots, None);
    for name in ["all", "node all", "$set", "a.b", ""] {
        assert!(orders.drained(name).is_some(), "{name:?}");
    }
    assert_eq!(orders.nodes.len(), 5);
    subject.close().await;
}

/// Two versions side by side.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_version_orders_survives_and_is_no_trouble() {
    let subject = InMongo::open().await;
    let store = &subject.0;
    store.order_drain("n1", "ann@m1").await.unwrap();
    let orders = subject.database().await.collection::<Document>("orders");
    let newer = doc! { "rebooted": { "by": "ann@m1" }, "drained.until": "tomorrow" };
    orders.update_one(doc! { "_id": "node n1" }, doc! { "$set": newer }).await.unwrap();
    orders.insert_one(doc! { "_id": "rack 4", "drained": true, "slots": "many" }).await.unwrap();
    // What cannot be read may mean that nothing is to run there; all others count.
    orders.insert_one(doc! { "_id": "node n2", "drained": true }).await.unwrap();
    orders.insert_one(doc! { "_id": "node n3", "slots": "many" }).await.unwrap();
    let read = store.orders().await.unwrap();
    assert_eq!(read.drained("n1").map(|order| order.by.as_str()), Some("ann@m1"));
    assert_eq!(read.drained("n2").map(|order| order.by.as_str()), Some("?"));
    assert_eq!(read.drained("n3"), None);
    assert_eq!(read.nodes.len(), 3, "{read:#?}");

    store.order_canary("n1", "bob@m1").await.unwrap();
    store.order_undrain("n1", "bob@m1").await.unwrap();
    let kept = orders.find_one(doc! { "_id": "node n1" }).await.unwrap().unwrap();
    assert_eq!(kept.get_document("rebooted").unwrap(), &doc! { "by": "ann@m1" });
    assert!(!kept.contains_key("drained"));
    subject.close().await;
}
