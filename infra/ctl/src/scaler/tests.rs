//! What the operator's command is told.

use super::{plan::Why, *};

fn node(name: &str, stands: Stands) -> Node {
    Node { name: name.to_owned(), machine: name.parse().ok(), stands, slots: 2, busy: 0 }
}

fn told(nodes: &[Node], undrain: &[&str], wanted: u32) -> (u32, u32, Vec<String>) {
    let undrain = undrain.iter().map(|name| (*name).to_owned()).collect();
    let orderly = Orderly { undrain, ..Orderly::default() };
    let call = call(nodes, &orderly, Wanted { nodes: wanted, why: Why::Work });
    (call.wanted, call.present, call.remove.iter().map(HostName::to_string).collect())
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

/// It counts as one that is there, so that the number does not take it away either.
#[test]
fn a_node_of_which_nobody_can_say_which_machine_it_is_is_never_offered() {
    use Stands::Drained;
    let longest = "g".repeat(63);
    for (name, offered) in [
        ("portcall-g1", true),
        (longest.as_str(), true),
        ("x portcall-g1 portcall-g2", false),
        ("-portcall-g1", false),
        ("portcall-g1\n", false),
        ("\u{1b}[31mportcall-g1", false),
        (&"g".repeat(64), false),
        ("", false),
    ] {
        let nodes = [node("f", Drained), node(name, Drained)];
        let remove =
            if offered { vec!["f".to_owned(), name.to_owned()] } else { vec!["f".to_owned()] };
        let kept = if offered { 0 } else { 1 };
        assert_eq!(told(&nodes, &[], 0), (kept, 2, remove.clone()), "{name:?}");
        assert_eq!(may_go(&nodes).map(HostName::as_str).collect::<Vec<_>>(), remove, "{name:?}");
    }
}
