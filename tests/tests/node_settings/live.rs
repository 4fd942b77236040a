//! The script on a machine that runs: a namespace with copies of `/etc` and of the kernel's settings.

use anyhow::{Context, Result, ensure};
use portcall_tests::parts::process::Ended;
use serde_json::Value;

use crate::space::{Own, Space};

/// The settings with this result, by name.
async fn with(space: &Space, result: &str) -> Result<Vec<String>> {
    let told = space.run("\"$NODES/node\" check --json").await?;
    let told: Value = serde_json::from_str(&told.stdout).with_context(|| format!("{told:?}"))?;
    let rows = told["settings"].as_array().context("no settings")?.iter();
    Ok(rows
        .filter(|row| row["result"] == result)
        .filter_map(|row| row["setting"].as_str().map(str::to_owned))
        .collect())
}

#[tokio::test]
async fn a_running_machine_is_brought_in_order_once() -> Result<()> {
    let space = Space::new(Own::Settings).await?;
    ensure!(with(&space, "fail").await?.contains(&"packet filter, as loaded".to_owned()));
    let told = space.must("\"$NODES/node\" apply").await?;
    ensure!(told.contains("they hold after its next start"), "{told}");
    assert_eq!(space.must("\"$NODES/node\" apply").await?, "Everything is as wanted already.\n");
    assert_eq!(with(&space, "fail").await?, [""; 0]);
    assert_eq!(space.run("\"$NODES/node\" check").await?.ended, Ended::Code(0));

    let wanted = space.must("sed -nE 's/^([a-z_.]+) *=.*/\\1/p' \"$NODES/sysctl.conf\"").await?;
    ensure!(wanted.lines().count() >= 10, "{wanted}");
    for name in wanted.lines() {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        let kept = space.must(&format!("cat {file}")).await?;
        let loose = match name {
            "kernel.core_pattern" => "|/bin/handler",
            "user.max_user_namespaces" => "96343",
            _ => "-1",
        };
        space.must(&format!("echo '{loose}' >{file}")).await?;
        assert_eq!(with(&space, "fail").await?, [name], "{name} = {loose}");
        space.must(&format!("echo '{}' >{file}", kept.trim())).await?;
    }
    assert_eq!(with(&space, "fail").await?, [""; 0]);

    let before = space.must("nft list ruleset").await?;
    let told = space.must("\"$NODES/node\" remove").await?;
    ensure!(told.contains("table inet portcall is gone"), "{told}");
    ensure!(before.contains("portcall") && space.must("nft list ruleset").await?.is_empty());
    Ok(())
}

/// The control of `check` on the filter: whichever rule somebody deletes, it is missed.
#[tokio::test]
async fn full_each_rule_that_is_deleted_is_missed() -> Result<()> {
    let space = Space::new(Own::Settings).await?;
    space.must("\"$NODES/node\" apply --egress closed --nodes 10.0.0.1").await?;
    // The others' rules are none of ours.
    space.must("nft 'table ip engine { chain x { accept; }; }'").await?;
    assert_eq!(with(&space, "fail").await?, [""; 0]);
    let rules = space
        .must(
            r#"for table in "inet portcall" "bridge portcall"; do
              nft -a list table $table | awk -v table="$table" '
                $1 == "chain" { chain = $2 }
                chain && / # handle / && $1 != "chain" && $1 != "set" { print table, chain, $NF }'
            done"#,
        )
        .await?;
    ensure!(rules.lines().count() >= 30, "{rules}");
    for rule in rules.lines() {
        let words: Vec<&str> = rule.split(' ').collect();
        let [family, table, chain, handle] = words[..] else { panic!("{rule}") };
        space.must(&format!("nft delete rule {family} {table} {chain} handle {handle}")).await?;
        assert_eq!(with(&space, "fail").await?, ["packet filter, as loaded"], "{rule}");
        space.must("nft -f /etc/portcall/nftables.nft").await?;
        // Handles begin anew with the tables, so they are the same again.
    }
    assert_eq!(with(&space, "fail").await?, [""; 0]);
    // What is missing comes back with `apply`, which touches nothing else.
    space.must("nft delete table bridge portcall").await?;
    let told = space.must("\"$NODES/node\" apply").await?;
    assert_eq!(told, "changed: packet filter: tables inet portcall and bridge portcall\n");
    ensure!(space.must("nft list ruleset").await?.contains("table ip engine"));
    Ok(())
}
