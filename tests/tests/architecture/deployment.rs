//! Checks of the deployment's files: the stack and what it names, the alert rules and the dashboard.
//!
//! Each is a function of the files that gives complaints.

use std::collections::BTreeSet;

use portcall_tests::tree::Source;
use serde_json::Value;

const STACK: &str = "infra/stack.yaml";
const COMPOSE: &str = "infra/compose.yaml";
const PROXY: &str = "infra/compose.proxy.yaml";
/// The services that run our own programs for as long as the stack lives.
const OURS: &[&str] = &["api", "worker", "scaler"];
/// Whose health is looked at: the engine then waits for it before it retires an old one.
const GATED: &[&str] = &["api", "worker"];

fn yaml(sources: &[Source], path: &str) -> Value {
    let text = sources.iter().find(|s| s.path == path).map_or("", |s| s.text.as_str());
    serde_saphyr::from_str(text).unwrap_or(Value::Null)
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// What a service uses of a kind: names, or objects with a source.
fn used<'a>(service: &'a Value, kind: &str) -> BTreeSet<&'a str> {
    let of = |item: &'a Value| item.as_str().or_else(|| item["source"].as_str());
    let listed = items(&service[kind]).filter_map(of);
    let mapped = entries(&service[kind]).map(|(name, _)| name);
    listed.chain(mapped).collect()
}

/// Every service has limits, a place, an image by variable, a way to be replaced and a way back.
pub(crate) fn unbounded(sources: &[Source]) -> Vec<String> {
    let stack = yaml(sources, STACK);
    let mut complaints = Vec::new();
    for (name, service) in entries(&stack["services"]) {
        let mut complain = |what: &str| complaints.push(format!("{STACK}: {name}: {what}"));
        let deploy = &service["deploy"];
        // It ends by itself, and is not started again.
        let job = deploy["restart_policy"]["condition"] == "on-failure";
        if !service["image"].as_str().unwrap_or_default().starts_with("${PORTCALL_") {
            complain("its image is no variable");
        }
        for limit in ["cpus", "memory"] {
            if deploy["resources"]["limits"][limit].is_null() {
                complain(&format!("no limit of {limit}"));
            }
        }
        if items(&deploy["placement"]["constraints"]).next().is_none() {
            complain("it may run anywhere, also beside strangers");
        }
        if deploy["endpoint_mode"] != "dnsrr" {
            complain("it needs a kernel with IPVS");
        }
        if items(&service["ports"]).any(|port| port["mode"] != "host") {
            complain("a port of the swarm's mesh");
        }
        if service["logging"]["options"]["max-size"].is_null() {
            complain("its log has no bound");
        }
        let update = &deploy["update_config"];
        if !job {
            if update["failure_action"] != "rollback" || update["monitor"].is_null() {
                complain("nothing takes a bad version back");
            }
            if update["parallelism"] != 1 || deploy["rollback_config"].is_null() {
                complain("all of it is replaced at once");
            }
        }
        if OURS.contains(&name) && update["order"] != "start-first" {
            complain("the old one ends before the new one is there");
        }
        if GATED.contains(&name) && service["healthcheck"]["test"][2] != "--health" {
            complain("nobody asks whether it is ready");
        }
        if OURS.contains(&name) && (service["read_only"] != true || service["cap_drop"][0] != "ALL")
        {
            complain("it may more than it needs");
        }
    }
    for name in OURS {
        if stack["services"][name].is_null() {
            complaints.push(format!("{STACK}: there is no {name}"));
        }
    }
    complaints
}

/// What services use is declared, what is declared is used, and secrets are never in the file.
pub(crate) fn undeclared(sources: &[Source]) -> Vec<String> {
    let stack = yaml(sources, STACK);
    let mut complaints = Vec::new();
    for kind in ["secrets", "configs", "networks"] {
        let declared: BTreeSet<&str> = entries(&stack[kind]).map(|(name, _)| name).collect();
        let mut all = BTreeSet::new();
        for (_, service) in entries(&stack["services"]) {
            all.extend(used(service, kind));
        }
        let missing = all.difference(&declared).map(|name| format!("{name} is not declared"));
        let unused = declared.difference(&all).map(|name| format!("{name} is not used"));
        complaints.extend(missing.chain(unused).map(|what| format!("{STACK}: {kind}: {what}")));
    }
    for (name, secret) in entries(&stack["secrets"]) {
        if secret["external"] != true || !secret["file"].is_null() {
            complaints.push(format!("{STACK}: the secret {name} is not the swarm's own"));
        }
    }
    for (name, config) in entries(&stack["configs"]) {
        let file = format!("infra/{}", config["file"].as_str().unwrap_or_default());
        if !sources.iter().any(|source| source.path == file) {
            complaints.push(format!("{STACK}: the config {name}: there is no {file}"));
        }
        if !config["name"].as_str().unwrap_or_default().contains("${") {
            complaints.push(format!("{STACK}: the config {name} cannot be changed"));
        }
    }
    complaints
}

/// Defaults in the files are those that the sample tells.
pub(crate) fn other_defaults(sources: &[Source]) -> Vec<String> {
    let sample = sources.iter().find(|s| s.path == "infra/env.sample");
    let sample = sample.map_or("", |s| s.text.as_str());
    let own = ["PORTCALL_STACK_", "PORTCALL_IMAGE_"];
    let mut complaints = Vec::new();
    for source in sources.iter().filter(|s| [STACK, COMPOSE, PROXY].contains(&s.path.as_str())) {
        for (n, line) in source.text.lines().enumerate() {
            for inside in line.split("${").skip(1).filter_map(|rest| rest.split('}').next()) {
                let Some((name, default)) = inside.split_once(":-") else { continue };
                let told = format!("#{name}={default}");
                if own.iter().any(|o| name.starts_with(o)) && !sample.lines().any(|l| l == told) {
                    complaints.push(source.complain(n + 1, &format!("the sample lacks {told}")));
                }
            }
        }
    }
    complaints
}

/// The names of our metrics in a text, with what a distribution adds to them taken off.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = |at: usize| !text[..at].ends_with(|c: char| part(c) || c == '/');
    text.match_indices("portcall_")
        .filter(|(at, _)| starts(*at))
        .map(|(at, _)| &text[at..])
        .map(|rest| &rest[..rest.find(|c: char| !part(c)).unwrap_or(rest.len())])
        .map(|name| {
            let ends = ["_bucket", "_sum", "_count"];
            ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
        })
        .collect()
}

/// Each metric that an alert, its test or the dashboard asks for is one that our programs tell.
pub(crate) fn unknown_metrics(sources: &[Source]) -> Vec<String> {
    let telemetry = sources.iter().find(|s| s.path == "shared/src/telemetry.rs");
    let table = telemetry.and_then(|s| s.text.split_once("DESCRIPTIONS")).map_or("", |t| t.1);
    let known = metrics_in(table.split("];").next().unwrap_or_default());
    // The names of services in advice.
    let services = ["portcall_api", "portcall_worker", "portcall_scaler", "portcall_sweep"];
    let mut complaints = Vec::new();
    for source in sources {
        let asks = source.path.starts_with("infra/prometheus/rules")
            || (source.path.starts_with("infra/grafana/") && source.is("json"));
        let names = if asks { metrics_in(&source.text) } else { BTreeSet::new() };
        for name in names.into_iter().filter(|name| !known.contains(name)) {
            if !services.contains(&name) {
                complaints.push(format!("{}: there is no metric {name}", source.path));
            }
        }
    }
    complaints
}

/// Each alert has words for a person, a severity, and a test in which it comes and one in which it
/// does not.
pub(crate) fn untested_alerts(sources: &[Source]) -> Vec<String> {
    const RULES: &str = "infra/prometheus/rules.yml";
    let (rules, tests) = (yaml(sources, RULES), yaml(sources, "infra/prometheus/rules.test.yml"));
    let tried: Vec<&Value> =
        items(&tests["tests"]).flat_map(|test| items(&test["alert_rule_test"])).collect();
    let mut complaints = Vec::new();
    for rule in items(&rules["groups"]).flat_map(|group| items(&group["rules"])) {
        let name = rule["alert"].as_str().unwrap_or_default();
        let mut complain = |what: &str| complaints.push(format!("{RULES}: {name}: {what}"));
        if rule["labels"]["severity"].is_null() {
            complain("who is called is not said");
        }
        if rule["annotations"]["summary"].is_null() || rule["annotations"]["what"].is_null() {
            complain("what is to be done is not said");
        }
        let of_it = || tried.iter().filter(|t| t["alertname"] == name);
        if !of_it().any(|t| items(&t["exp_alerts"]).next().is_some()) {
            complain("no test in which it comes");
        }
        if !of_it().any(|t| items(&t["exp_alerts"]).next().is_none()) {
            complain("no test in which it does not come");
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use portcall_tests::tree::tree;

    use super::*;

    /// The checkout with one file changed.
    fn with(path: &str, from: &str, to: &str) -> Vec<Source> {
        let mut tree = tree();
        let file = tree.iter_mut().find(|s| s.path == path).expect("the file");
        assert!(file.text.contains(from), "{path} has no {from}");
        file.text = file.text.replacen(from, to, 1);
        tree
    }

    /// The check is silent about the checkout, and complains when this is changed.
    fn holds(check: fn(&[Source]) -> Vec<String>, path: &str, from: &str, to: &str, told: &str) {
        let found = check(&tree());
        assert!(found.is_empty(), "\n{}", found.join("\n"));
        let found = check(&with(path, from, to));
        assert!(found.iter().any(|c| c.contains(told)), "{to:?} is not noticed: {found:?}");
    }

    #[test]
    fn every_service_of_the_stack_is_bounded_and_can_be_taken_back() {
        for (from, to, told) in [
            ("image: ${PORTCALL_IMAGE_REGISTRY:-", "image: ${OTHER:-", "no variable"),
            ("limits: { cpus: \"1.0\", memory: 768M", "limits: { cpus: \"1.0\"", "of memory"),
            ("constraints: [node.labels.portcall.front == 1]", "constraints: []", "anywhere"),
            ("endpoint_mode: dnsrr", "endpoint_mode: vip", "IPVS"),
            ("\"${PORTCALL_STACK_HTTP_PORT:-80}\", mode: host", "\"80\", mode: ingress", "mesh"),
            ("failure_action: rollback", "failure_action: continue", "takes a bad version back"),
            ("order: start-first", "order: stop-first", "old one ends"),
            ("/portcall-worker, --health", "/portcall-worker, --version", "whether it is ready"),
            ("read_only: true", "read_only: false", "more than it needs"),
            ("options: { max-size: 20m, max-file: \"5\" }", "options: {}", "no bound"),
        ] {
            holds(unbounded, STACK, from, to, told);
        }
    }

    #[test]
    fn what_the_stack_uses_is_declared() {
        for (from, to, told) in [
            ("  front: { external: true", "  fronts: { external: true", "front is not declared"),
            ("  api: { external: true", "  api: { external: false", "not the swarm's own"),
            ("networks: [copies]", "networks: [others]", "others is not declared"),
            ("file: prometheus/rules.yml", "file: prometheus/rule.yml", "there is no infra"),
            ("portcall-rules-${PORTCALL_STACK_SUM_RULES:-0}", "rules", "cannot be changed"),
        ] {
            holds(undeclared, STACK, from, to, told);
        }
    }

    #[test]
    fn defaults_are_told_once() {
        let check = other_defaults;
        holds(check, STACK, "WORKERS:-2}", "WORKERS:-3}", "#PORTCALL_STACK_WORKERS=3");
        holds(
            check,
            COMPOSE,
            "IMAGE_MONGO:-mongo:6.0",
            "IMAGE_MONGO:-mongo:7.0",
            "MONGO=mongo:7.0",
        );
        holds(check, PROXY, "PLAIN:-no}", "PLAIN:-yes}", "#PORTCALL_STACK_PLAIN=yes");
    }

    #[test]
    fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
        let check = unknown_metrics;
        let rules = "infra/prometheus/rules.yml";
        holds(check, rules, "max(portcall_overdue)", "max(portcall_late)", "portcall_late");
        let dashboard = "infra/grafana/portcall.json";
        holds(check, dashboard, "portcall_map_pins", "portcall_pins", "portcall_pins");
    }

    #[test]
    fn every_alert_is_tested() {
        let rules = "infra/prometheus/rules.yml";
        let check = untested_alerts;
        holds(check, rules, "alert: NoSlots", "alert: NoSlot", "NoSlot: no test in which it comes");
        holds(check, rules, "severity: page", "severities: page", "who is called");
    }
}
