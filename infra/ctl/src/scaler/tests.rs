//! What the operator's command is told.

use super::{plan::Why, *};

fn node(name: &str, stands: Stands) -> Node {
    Node { name: name.to_owned(), stands, slots: 2, busy: 0 }
}

fn told(nodes: &[Node], undrain: &[&str], wanted: u32) -> (u32, u32, Vec<String>) {
    let undrain = undrain.iter().map(|name| (*name).to_owned()).collect();
    let orderly = Orderly { undrain, ..Orderly::default() };
    let call = call(nodes, &orderly, Wanted { nodes: wanted, why: Why::Work });
    (call.wanted, call.present, call.remove)
}

#[test]
fn nothing_that_is_not_drained_is_ever_too_many() {
    use Stands::{Away, Coming, Drained, Draining, Unfit, Working};
    let nodes = [
        node("a", Working),
        node("b", Coming),
        node("c", Unfit),
        node("d", Draining),
        node("e", Away),
        node("f", Drained),
    ];
    for (wanted, machines) in [(0, 5), (1, 5), (2, 5), (3, 6), (5, 8)] {
        let expected = (machines, 6, vec!["f".to_owned()]);
        assert_eq!(told(&nodes, &[], wanted), expected, "{wanted} wanted");
    }
    // One that comes back is neither removed nor made anew.
    assert_eq!(told(&nodes, &["f"], 3), (6, 6, vec![]));
    assert_eq!(told(&nodes, &["d", "f"], 5), (7, 6, vec![]));
    assert_eq!(told(&[], &[], 1), (1, 0, vec![]));
}
