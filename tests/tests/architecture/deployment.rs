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
const SAMPLE: &str = "infra/env.sample";
/// What stands before an api that speaks no TLS, and before one that does.
const BALANCERS: [&str; 2] = ["infra/haproxy/haproxy.cfg", "infra/haproxy/passthrough.cfg"];

const BY_SECRET: &str =
    "it has a password, and comes in the secret that PORTCALL_CONFIG_FILE names";
const BY_IMAGE: &str = "the image has it (infra/images)";
const BY_NODE: &str = "no service of a swarm can carry it: infra/nodes has the node's own settings";
const BY_PROXY: &str = "HAProxy speaks TLS for the api; infra/stack.tls.yaml is for apis that do";
const BY_DEFAULT: &str = "its default is right on one machine: the database, the engine's socket";
const BY_FILE: &str = "all settings come by the environment here";

/// Settings of apis and workers that a deployment does not hand on, and why.
const NOT_HANDED_ON: &[(&str, &[&str], &str)] = &[
    (STACK, &["PORTCALL_MONGODB_URI"], BY_SECRET),
    (COMPOSE, &["PORTCALL_MONGODB_URI", "PORTCALL_MONGODB_DATABASE"], BY_DEFAULT),
    (COMPOSE, &["PORTCALL_DOCKER_HOST", "PORTCALL_FLEET", "PORTCALL_DOCKER_CERTS"], BY_DEFAULT),
    (COMPOSE, &["PORTCALL_CONFIG_FILE"], BY_FILE),
    (STACK, &["PORTCALL_API_ADDR", "PORTCALL_API_OPS_ADDR", "PORTCALL_WEB_DIR"], BY_IMAGE),
    (STACK, &["PORTCALL_WORKER_OPS_ADDR", "PORTCALL_PROBER_BIN", "PORTCALL_CANARY_BIN"], BY_IMAGE),
    (COMPOSE, &["PORTCALL_WEB_DIR", "PORTCALL_PROBER_BIN", "PORTCALL_CANARY_BIN"], BY_IMAGE),
    (STACK, &["PORTCALL_RUNTIME", "PORTCALL_CGROUP_PARENT", "PORTCALL_CPUSET"], BY_NODE),
    (STACK, &["PORTCALL_THROTTLED_DISK"], BY_NODE),
    (STACK, SPOKEN_BY_PROXY, BY_PROXY),
    (COMPOSE, SPOKEN_BY_PROXY, BY_PROXY),
];
const SPOKEN_BY_PROXY: &[&str] = &[
    "PORTCALL_TLS",
    "PORTCALL_TLS_CERT_FILE",
    "PORTCALL_TLS_KEY_FILE",
    "PORTCALL_ACME_DIRECTORY",
    "PORTCALL_ACME_DOMAINS",
    "PORTCALL_ACME_CONTACT",
    "PORTCALL_ACME_CA_FILE",
    "PORTCALL_ACME_RETRY_S",
    "PORTCALL_API_PLAIN_ADDR",
    "PORTCALL_PROXY_PROTOCOL",
];

/// What a live stream may take of an api's memory at most, in KiB, and which part of that memory all
/// streams together.
const STREAM_KIB: u64 = 100;
const STREAMS_PART: u64 = 2;

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

/// The settings that the sample lists for a program, by its headings.
fn settings_of<'a>(sample: &'a str, program: &str) -> BTreeSet<&'a str> {
    let heading = format!("portcall-{program}");
    let (mut own, mut found) = (false, BTreeSet::new());
    for line in sample.lines() {
        if let Some(whose) = line.strip_prefix("# ---- ") {
            own = whose == "all programs" || whose.split(" and ").any(|name| name == heading);
        } else if own {
            let name = line.trim_start_matches('#').split('=').next().unwrap_or_default();
            let is_name = name.starts_with("PORTCALL_") && !name.contains(' ');
            found.extend((is_name && line.contains('=')).then_some(name));
        }
    }
    found
}

/// Whoever deploys can give an api and a worker every setting that they have; what not is told why. And
/// they are given none that they do not know: they would end.
pub(crate) fn out_of_reach(sources: &[Source]) -> Vec<String> {
    let sample = sources.iter().find(|s| s.path == SAMPLE).map_or("", |s| s.text.as_str());
    let mut complaints = Vec::new();
    for path in [STACK, COMPOSE] {
        let (file, mut listed) = (yaml(sources, path), BTreeSet::new());
        let reasons = NOT_HANDED_ON.iter().filter(|(whose, _, _)| *whose == path);
        listed.extend(reasons.flat_map(|(_, names, _)| names.iter().copied()));
        let mut kept_back = BTreeSet::new();
        for program in GATED {
            let (known, given) = (settings_of(sample, program), &file["services"][program]);
            let given: BTreeSet<&str> = entries(&given["environment"]).map(|(n, _)| n).collect();
            let lacks = known.difference(&given).filter(|name| !listed.contains(*name));
            complaints.extend(lacks.map(|name| format!("{path}: {program} is not given {name}")));
            let strange = given.difference(&known);
            complaints.extend(strange.map(|name| format!("{path}: {program} knows no {name}")));
            kept_back.extend(known.iter().filter(|name| !given.contains(*name)).copied());
        }
        let idle = listed.difference(&kept_back);
        complaints.extend(idle.map(|name| format!("{path}: {name} needs no reason")));
    }
    complaints
}

/// The default of a variable in a deployment's file.
fn default_in<'a>(text: &'a str, variable: &str) -> Option<&'a str> {
    text.split_once(&format!("${{{variable}:-"))?.1.split('}').next()
}

/// How many MiB a limit such as `768M` is.
fn mebibytes(limit: &str) -> Option<u64> {
    match limit.strip_suffix('M') {
        Some(number) => number.parse().ok(),
        None => Some(limit.strip_suffix('G')?.parse::<u64>().ok()? * 1024),
    }
}

/// How many connections HAProxy opens to one server, at its first place.
fn opened_to_one(balancer: &str) -> Option<u64> {
    let mut servers = balancer.lines().map(str::trim).filter(|l| l.starts_with("default-server "));
    let (_, most) = servers.find_map(|line| line.split_once(" maxconn "))?;
    most.split(' ').next()?.parse().ok()
}

/// As many live streams as an api has by default leave room: for requests in what HAProxy opens to it, and
/// in its memory.
pub(crate) fn crowded(sources: &[Source]) -> Vec<String> {
    let text = |path: &str| sources.iter().find(|s| s.path == path).map_or("", |s| s.text.as_str());
    let connections = BALANCERS.map(|path| opened_to_one(text(path)));
    let connections = connections.into_iter().min().flatten();
    let mut complaints = Vec::new();
    for path in [STACK, COMPOSE] {
        let api = &yaml(sources, path)["services"]["api"];
        let memory = [&api["deploy"]["resources"]["limits"]["memory"], &api["mem_limit"]];
        let memory = memory.into_iter().find_map(|limit| mebibytes(limit.as_str()?));
        let streams =
            default_in(text(path), "PORTCALL_STREAMS").and_then(|n| n.parse::<u64>().ok());
        let (Some(connections), Some(memory), Some(streams)) = (connections, memory, streams)
        else {
            complaints
                .push(format!("{path}: {connections:?}, {memory:?} or {streams:?} is not there"));
            continue;
        };
        if streams * 3 > connections * 2 {
            complaints.push(format!("{path}: {streams} streams of {connections} connections"));
        }
        if streams * STREAM_KIB * STREAMS_PART > memory * 1024 {
            complaints.push(format!("{path}: {streams} streams in {memory} MiB of memory"));
        }
    }
    complaints
}

/// What kills an api by default waits until it has ended by itself.
pub(crate) fn cut_short(sources: &[Source]) -> Vec<String> {
    let text = |path: &str| sources.iter().find(|s| s.path == path).map_or("", |s| s.text.as_str());
    let millis = |name: &str| {
        let line = text(SAMPLE).lines().find_map(|l| l.strip_prefix(&format!("#{name}=")));
        line.and_then(|value| value.parse::<u64>().ok()).unwrap_or(u64::MAX / 2)
    };
    let needs = millis("PORTCALL_API_DRAIN_MS") + millis("PORTCALL_API_GRACE_MS");
    let mut complaints = Vec::new();
    for path in [STACK, COMPOSE] {
        let stop = default_in(text(path), "PORTCALL_STACK_API_STOP");
        let stop = stop.and_then(|stop| stop.strip_suffix('s')?.parse::<u64>().ok()).unwrap_or(0);
        if stop * 1000 <= needs {
            complaints
                .push(format!("{path}: an api is killed after {stop} s and needs {needs} ms"));
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
    fn settings_are_listed_by_program() {
        let sample = "# ---- all programs\n# Says PORTCALL_X=1.\n#PORTCALL_A=\n# ---- portcall-api\n\
            #PORTCALL_B=1\n# ---- portcall-worker\nPORTCALL_C=2\n\
            # ---- portcall-api and portcall-worker\n#PORTCALL_D=\n# ---- tests\n#PORTCALL_E=\n";
        assert_eq!(
            Vec::from_iter(settings_of(sample, "api")),
            ["PORTCALL_A", "PORTCALL_B", "PORTCALL_D"]
        );
        assert_eq!(
            Vec::from_iter(settings_of(sample, "worker")),
            ["PORTCALL_A", "PORTCALL_C", "PORTCALL_D"]
        );
        let tree = tree();
        let sample = &tree.iter().find(|s| s.path == SAMPLE).expect("the sample").text;
        assert!(settings_of(sample, "api").len() > 35 && settings_of(sample, "worker").len() > 25);
    }

    #[test]
    fn every_setting_can_be_given_where_it_is_deployed() {
        let otlp = "      PORTCALL_OTLP_ENDPOINT: ${PORTCALL_OTLP_ENDPOINT:-}\n";
        for (path, from, to, told) in [
            (STACK, otlp, "", "api is not given PORTCALL_OTLP_ENDPOINT"),
            (COMPOSE, otlp, "", "api is not given PORTCALL_OTLP_ENDPOINT"),
            (STACK, "PORTCALL_LEASE_MS:", "LEASE_MS:", "worker is not given PORTCALL_LEASE_MS"),
            (STACK, "PORTCALL_LEASE_MS:", "LEASE_MS:", "worker knows no LEASE_MS"),
            (STACK, "PORTCALL_BEAT_MS:", "PORTCALL_STREAMS:", "worker knows no PORTCALL_STREAMS"),
            (
                COMPOSE,
                "PORTCALL_LOG: ${PORTCALL_LOG:-info}",
                "PORTCALL_TLS: off",
                "PORTCALL_TLS needs no",
            ),
            (
                SAMPLE,
                "#PORTCALL_STREAMS=",
                "#PORTCALL_NEW=1\n#PORTCALL_STREAMS=",
                "not given PORTCALL_NEW",
            ),
            (SAMPLE, "#PORTCALL_RUNTIME=\n", "", "stack.yaml: PORTCALL_RUNTIME needs no reason"),
        ] {
            holds(out_of_reach, path, from, to, told);
        }
    }

    #[test]
    fn streams_leave_room_for_requests() {
        for (path, from, to, told) in [
            (STACK, "STREAMS:-3000}", "STREAMS:-3500}", "3500 streams of 5000"),
            (COMPOSE, "STREAMS:-3000}", "STREAMS:-10000}", "10000 streams of 5000"),
            (BALANCERS[0], " maxconn 5000", " maxconn 3000", "3000 streams of 3000"),
            (BALANCERS[1], " maxconn 5000", " maxconn 4000", "3000 streams of 4000"),
            (STACK, "memory: 768M", "memory: 512M", "streams in 512 MiB"),
            (
                COMPOSE,
                "mem_limit: 768M",
                "mem_limit: 512M",
                "compose.yaml: 3000 streams in 512 MiB",
            ),
            (STACK, "${PORTCALL_STREAMS:-3000}", "3000", "is not there"),
            (BALANCERS[0], " maxconn 5000", "", "is not there"),
        ] {
            holds(crowded, path, from, to, told);
        }
    }

    #[test]
    fn an_api_may_end_by_itself() {
        for (path, from, to, told) in [
            (STACK, "API_STOP:-40s}", "API_STOP:-30s}", "stack.yaml: an api is killed after 30 s"),
            (
                SAMPLE,
                "#PORTCALL_API_GRACE_MS=25000",
                "#PORTCALL_API_GRACE_MS=35000",
                "needs 40000 ms",
            ),
        ] {
            holds(cut_short, path, from, to, told);
        }
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
