//! What a worker may ask of an engine: a pure function over its recorded requests. Nothing that is
//! not on the list is allowed, and of what is on it every field that could give a container
//! something of the machine's is looked at.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::parts::tap::Call;

/// What it asks for, as it is written: `*` stands for one part of a path.
const ASKED: &[(&str, &str)] = &[
    ("GET", "/_ping"),
    ("GET", "/version"),
    ("GET", "/info"),
    ("GET", "/containers/json"),
    ("GET", "/containers/*/json"),
    ("GET", "/containers/*/logs"),
    ("POST", "/containers/create"),
    ("POST", "/containers/*/start"),
    ("POST", "/containers/*/attach"),
    ("DELETE", "/containers/*"),
    ("GET", "/networks"),
    ("GET", "/networks/*"),
    ("POST", "/networks/create"),
    ("DELETE", "/networks/*"),
    ("GET", "/images/json"),
    ("GET", "/images/**/json"),
    ("POST", "/images/create"),
    ("POST", "/images/load"),
    ("DELETE", "/images/**"),
    ("GET", "/system/df"),
];

/// Header fields that carry credentials.
const CREDENTIALS: [&str; 5] =
    ["x-registry-auth", "x-registry-config", "authorization", "proxy-authorization", "cookie"];

/// Fields of `HostConfig` that stay empty, or false.
const EMPTY: [&str; 17] = [
    "Binds",
    "Mounts",
    "VolumesFrom",
    "VolumeDriver",
    "PortBindings",
    "PublishAllPorts",
    "Privileged",
    "Devices",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Links",
    "GroupAdd",
    "PidMode",
    "UTSMode",
    "UsernsMode",
    "AutoRemove",
    "OomKillDisable",
];

/// What the most generous of our requests adds.
const CAPABILITIES: [&str; 5] = ["CHOWN", "DAC_OVERRIDE", "NET_BIND_SERVICE", "SETGID", "SETUID"];

/// What a worker had to do, and with what.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// Texts that no request may hold.
    pub secrets: Vec<String>,
    /// The submissions that a container must have been made for.
    pub graded: Vec<String>,
    /// Where alone images come from: host and port.
    pub quarantine: String,
}

/// Every call that is not allowed, with the reason, and every container that was never asked for: a
/// log that is empty or that lacks something shows nothing.
#[must_use]
pub fn violations(calls: &[Call], task: &Task) -> Vec<String> {
    let probers: BTreeSet<String> = calls.iter().filter_map(prober_made).collect();
    let of = |call: &Call| {
        let mut complaints = of_one(call, task);
        complaints.extend(of_attaching(call, &probers));
        let (method, path) = (call.method.clone(), call.path.clone());
        complaints.into_iter().map(move |why| format!("{method} {path}: {why}"))
    };
    let mut found: Vec<String> = calls.iter().flat_map(of).collect();
    if calls.is_empty() {
        found.push("nothing was recorded".to_owned());
    }
    let created: Vec<&Call> = calls.iter().filter(|call| creates(call)).collect();
    if created.len() < task.graded.len() {
        let (made, graded) = (created.len(), task.graded.len());
        found.push(format!("{made} containers were asked for, {graded} were graded"));
    }
    for id in &task.graded {
        let name = format!("portcall-{id}-");
        if !created.iter().any(|call| name_of(call).starts_with(&name)) {
            found.push(format!("no container was asked for {id}, which was graded"));
        }
    }
    found
}

fn creates(call: &Call) -> bool {
    call.method == "POST" && call.resource() == "/containers/create"
}

/// The name of a container that is asked for.
fn name_of(call: &Call) -> String {
    decoded(call.path.split(['?', '&']).find_map(|part| part.strip_prefix("name=")).unwrap_or(""))
}

/// The id of the prober that a call made.
fn prober_made(call: &Call) -> Option<String> {
    let body: Value = serde_json::from_slice(&call.body).ok().filter(|_| creates(call))?;
    call.made().filter(|_| body["Labels"]["portcall.kind"] == "prober")
}

/// The prober's streams are the only ones that anything of ours is attached to.
fn of_attaching(call: &Call, probers: &BTreeSet<String>) -> Option<String> {
    let id = call.resource().strip_prefix("/containers/")?.strip_suffix("/attach")?;
    let whole = ["stdin=true", "stdout=true"].iter().all(|word| call.path.contains(word));
    let own = probers.contains(id) && whole;
    (!own).then(|| "it attaches to what is not the prober".to_owned())
}

fn of_one(call: &Call, task: &Task) -> Vec<String> {
    let mut found = Vec::new();
    let listed =
        |(method, path): &&(&str, &str)| *method == call.method && matches(path, call.resource());
    if ASKED.iter().find(listed).is_none() {
        found.push("a worker has no reason to ask this".to_owned());
    }
    for name in CREDENTIALS {
        let given = call.header(name).filter(|value| !["", "e30=", "e30"].contains(value));
        if given.is_some() {
            found.push(format!("it carries credentials ({name})"));
        }
    }
    let head = call.headers.iter().map(|(name, value)| format!("{name}: {value}"));
    let whole = format!(
        "{}\n{}\n{}",
        decoded(&call.path),
        head.collect::<Vec<_>>().join("\n"),
        String::from_utf8_lossy(&call.body)
    );
    for secret in task.secrets.iter().filter(|secret| whole.contains(*secret)) {
        found.push(format!("it holds the secret that begins with `{secret:.6}`"));
    }
    if call.method == "POST" && call.resource() == "/images/create" {
        found.extend(of_pull(call, &task.quarantine));
    }
    if creates(call) {
        found.extend(of_container(call));
    }
    if call.method == "POST" && call.resource() == "/networks/create" {
        found.extend(of_network(call));
    }
    found
}

/// The name of the image that a call pulls.
#[must_use]
pub fn pulled(call: &Call) -> Option<String> {
    let image = call.path.split(['?', '&']).find_map(|part| part.strip_prefix("fromImage="));
    image.filter(|_| call.method == "POST").map(decoded)
}

/// Images come from the quarantine, by their digests, and by nothing else.
fn of_pull(call: &Call, quarantine: &str) -> Option<String> {
    let image = pulled(call).unwrap_or_default();
    let digest = image.strip_prefix(&format!("{quarantine}/strangers@sha256:"));
    let own =
        digest.is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
    (!own).then(|| format!("it pulls `{image}`, which is not pinned in the quarantine"))
}

/// A part of an address as it is meant.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = text.get(at + 1..at + 3).filter(|_| byte == b'%');
        let meant = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        out.push(meant.unwrap_or(byte));
        at += if meant.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn of_container(call: &Call) -> Vec<String> {
    let Ok(body) = serde_json::from_slice::<Value>(&call.body) else {
        return vec!["the body is no JSON".to_owned()];
    };
    let mut found = Vec::new();
    let host = &body["HostConfig"];
    for field in EMPTY {
        if !is_empty(&host[field]) {
            found.push(format!("HostConfig.{field} is {}", host[field]));
        }
    }
    for field in ["ExposedPorts", "Volumes", "Env", "OnBuild"] {
        if !is_empty(&body[field]) {
            found.push(format!("{field} is {}", body[field]));
        }
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (network, ipc) = (text(&host["NetworkMode"]), text(&host["IpcMode"]));
    if network.is_empty()
        || ["host", "default", "bridge"].contains(&network.as_str())
        || network.starts_with("container:")
    {
        found.push(format!("its network is `{network}`"));
    }
    if !["private", "none"].contains(&ipc.as_str()) {
        found.push(format!("its IPC is `{ipc}`"));
    }
    if host["CapDrop"] != serde_json::json!(["ALL"]) {
        found.push("not every capability is dropped".to_owned());
    }
    let added = host["CapAdd"].as_array().into_iter().flatten();
    for capability in added.filter(|c| !c.as_str().is_some_and(|c| CAPABILITIES.contains(&c))) {
        found.push(format!("it adds the capability {capability}"));
    }
    let options = host["SecurityOpt"].as_array().cloned().unwrap_or_default();
    let option =
        |wanted: &str| options.iter().any(|o| o.as_str().is_some_and(|o| o.starts_with(wanted)));
    if !option("no-new-privileges") {
        found.push("new privileges are possible".to_owned());
    }
    if !option("seccomp=") && !option("seccomp:") || option("seccomp=unconfined") {
        found.push("no list of system calls".to_owned());
    }
    for (field, least) in [("Memory", 1), ("MemorySwap", 1), ("PidsLimit", 1), ("NanoCpus", 1)] {
        if host[field].as_i64().is_none_or(|value| value < least) {
            found.push(format!("HostConfig.{field} bounds nothing"));
        }
    }
    let policy = text(&host["RestartPolicy"]["Name"]);
    if !["", "no"].contains(&policy.as_str()) {
        found.push(format!("it is started again (`{policy}`)"));
    }
    if body["HostConfig"]["LogConfig"]["Type"] != "none"
        && body["Healthcheck"]["Test"] != serde_json::json!(["NONE"])
    {
        found.push("the image's own health check would be executed".to_owned());
    }
    found
}

fn of_network(call: &Call) -> Vec<String> {
    let Ok(body) = serde_json::from_slice::<Value>(&call.body) else {
        return vec!["the body is no JSON".to_owned()];
    };
    let mut found = Vec::new();
    if body["Internal"] != true {
        found.push("the network has a way out".to_owned());
    }
    if !is_empty(&body["EnableIPv6"]) {
        found.push("the network has IPv6".to_owned());
    }
    found
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Number(_) => false,
    }
}

/// Whether a path is of that kind: `*` is one part, `**` any number of them.
fn matches(kind: &str, path: &str) -> bool {
    match kind.split_once("**") {
        Some((before, after)) => {
            path.len() > before.len() + after.len()
                && path.starts_with(before)
                && path.ends_with(after)
        }
        None => {
            let (kind, path): (Vec<_>, Vec<_>) =
                (kind.split('/').collect(), path.split('/').collect());
            kind.len() == path.len()
                && kind.iter().zip(&path).all(|(k, p)| (*k == "*" && !p.is_empty()) || k == p)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn call(method: &str, path: &str) -> Call {
        Call { method: method.into(), path: path.into(), ..Call::default() }
    }

    fn good() -> Value {
        json!({
            "Image": "127.0.0.1:5000/a@sha256:0",
            "Healthcheck": { "Test": ["NONE"] },
            "HostConfig": {
                "NetworkMode": "0123", "IpcMode": "private", "CapDrop": ["ALL"],
                "CapAdd": ["CHOWN"], "SecurityOpt": ["no-new-privileges:true", "seccomp={}"],
                "Memory": 1, "MemorySwap": 1, "PidsLimit": 1, "NanoCpus": 1,
                "RestartPolicy": { "Name": "no" }, "Privileged": false, "Binds": [],
            },
        })
    }

    const QUARANTINE: &str = "127.0.0.1:5001";
    const MARK: &str = "planted-password";

    fn task() -> Task {
        let quarantine = QUARANTINE.to_owned();
        Task { secrets: vec![MARK.to_owned()], graded: vec!["s1".to_owned()], quarantine }
    }

    fn pull(image: &str) -> Call {
        call("POST", &format!("/images/create?fromImage={image}"))
    }

    /// The name of an image in the quarantine, as it goes over the wire.
    fn pinned() -> String {
        format!("127.0.0.1%3A5001%2Fstrangers%40sha256%3A{}", "0".repeat(64))
    }

    fn create(body: &Value) -> Call {
        let body = body.to_string().into_bytes();
        Call { body, ..call("POST", "/containers/create?name=portcall-s1-1-0") }
    }

    /// A container of that kind, with the id that the engine answered.
    fn made(kind: &str, id: &str) -> Call {
        let mut body = good();
        body["Labels"] = json!({ "portcall.kind": kind });
        let answer = format!("HTTP/1.1 201 Created\r\n\r\n{{\"Id\":\"{id}\",\"Warnings\":[]}}");
        Call { answer: answer.into_bytes(), ..create(&body) }
    }

    fn attach(id: &str, streams: &str) -> Call {
        call("POST", &format!("/containers/{id}/attach?stream=true&{streams}&stderr=true"))
    }

    /// What a worker asks for.
    fn quiet() -> Vec<Call> {
        vec![
            call("GET", "/_ping"),
            call("GET", "/containers/json?all=true"),
            call("GET", "/images/127.0.0.1:5001/strangers@sha256:00/json"),
            pull(&pinned()),
            made("prober", "p1"),
            made("workload", "w1"),
            attach("p1", "stdin=true&stdout=true"),
            call("DELETE", "/containers/x?force=true&v=true"),
        ]
    }

    #[test]
    fn what_a_worker_asks_is_allowed() {
        assert_eq!(violations(&quiet(), &task()), [""; 0]);
    }

    /// What a log must hold: one that is empty, or that ends too soon, is no proof.
    #[test]
    fn a_log_that_lacks_something_is_complained_of() {
        assert!(!violations(&[], &Task { graded: Vec::new(), ..task() }).is_empty());
        let without: Vec<Call> = quiet().into_iter().filter(|call| !creates(call)).collect();
        assert!(violations(&without[..4], &task()).iter().any(|why| why.contains("s1")));
        let of_another = Task { graded: vec!["s2".to_owned()], ..task() };
        assert!(violations(&quiet(), &of_another).iter().any(|why| why.contains("s2")));
        let graded = vec!["s1".to_owned(); 3];
        let told = violations(&quiet(), &Task { graded, ..task() });
        assert_eq!(told, ["2 containers were asked for, 3 were graded"]);
    }

    /// Each planted call is complained of, and so is each planted field.
    #[test]
    fn what_it_must_not_ask_is_complained_of() {
        let other = pinned().replace("5001", "5000");
        let mut planted = vec![
            call("POST", "/containers/x/exec"),
            call("POST", "/exec/x/start"),
            call("GET", "/containers/x/archive?path=/etc/passwd"),
            call("HEAD", "/containers/x/archive?path=/"),
            call("PUT", "/containers/x/archive?path=/"),
            call("GET", "/containers/x/export"),
            call("POST", "/containers/x/copy"),
            call("POST", "/commit?container=x"),
            call("POST", "/build"),
            call("POST", "/volumes/create"),
            call("POST", "/containers/x/update"),
            call("GET", "/containers/x/attach/ws"),
            attach("p1", "stdout=true"),
            attach("w1", "stdin=true&stdout=true"),
            attach("portcall-s1-1-0", "stdin=true&stdout=true"),
            pull("127.0.0.1%3A5001%2Fstrangers&tag=1"),
            pull(&format!("u%3Ap%40{}", pinned())),
            pull(&other),
            pull(&pinned().replace("strangers", "others")),
            pull(&pinned().replace("127.0.0.1", "127.0.0.10")),
            pull(&pinned()[..pinned().len() - 1]),
            call("POST", "/images/create?fromSrc=-"),
            Call {
                headers: vec![("x-registry-auth".into(), "eyJ1c2VyIjoiYSJ9".into())],
                ..pull(&pinned())
            },
            Call { headers: vec![("x-meta".into(), MARK.into())], ..call("GET", "/info") },
            call("GET", "/containers/json?filters=planted%2Dpassword"),
            Call {
                body: format!("{{\"Labels\":{{\"a\":\"{MARK}\"}},\"Internal\":true}}").into_bytes(),
                ..call("POST", "/networks/create")
            },
            Call { body: b"{\"Internal\":false}".to_vec(), ..call("POST", "/networks/create") },
            Call { body: b"x".to_vec(), ..call("POST", "/containers/create") },
        ];
        for (pointer, value) in [
            ("/HostConfig/Binds", json!(["/:/host"])),
            ("/HostConfig/Mounts", json!([{ "Type": "bind" }])),
            ("/HostConfig/PortBindings", json!({ "80/tcp": [{ "HostPort": "80" }] })),
            ("/HostConfig/PublishAllPorts", json!(true)),
            ("/HostConfig/Privileged", json!(true)),
            ("/HostConfig/VolumesFrom", json!(["x"])),
            ("/HostConfig/Devices", json!([{}])),
            ("/HostConfig/PidMode", json!("host")),
            ("/HostConfig/NetworkMode", json!("host")),
            ("/HostConfig/IpcMode", json!("host")),
            ("/HostConfig/UsernsMode", json!("host")),
            ("/HostConfig/CapAdd", json!(["SYS_ADMIN"])),
            ("/HostConfig/CapDrop", json!([])),
            ("/HostConfig/SecurityOpt", json!(["no-new-privileges:true", "seccomp=unconfined"])),
            ("/HostConfig/SecurityOpt", json!(["seccomp={}"])),
            ("/HostConfig/PidsLimit", json!(-1)),
            ("/HostConfig/Memory", json!(0)),
            ("/HostConfig/RestartPolicy", json!({ "Name": "always" })),
            ("/Healthcheck", json!({ "Test": ["CMD", "x"] })),
            ("/Env", json!(["TOKEN=x"])),
            ("/ExposedPorts", json!({ "80/tcp": {} })),
        ] {
            let mut body = good();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            body.pointer_mut(parent).unwrap()[field] = value;
            planted.push(create(&body));
        }
        for call in planted {
            let mut all = quiet();
            all.push(call.clone());
            assert_ne!(violations(&all, &task()), [""; 0], "{call:?}");
        }
    }
}
