//! What a worker may ask of an engine: a pure function over its recorded requests. Nothing that is
//! not on the list is allowed, and of what is on it every field that could give a container
//! something of the machine's is looked at.

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

/// Every call that is not allowed, with the reason. `secrets` are texts that no request may hold.
#[must_use]
pub fn violations(calls: &[Call], secrets: &[&str]) -> Vec<String> {
    calls
        .iter()
        .flat_map(|call| {
            let complaints = of_one(call, secrets).into_iter();
            complaints.map(move |why| format!("{} {}: {why}", call.method, call.path))
        })
        .collect()
}

fn of_one(call: &Call, secrets: &[&str]) -> Vec<String> {
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
        call.path,
        head.collect::<Vec<_>>().join("\n"),
        String::from_utf8_lossy(&call.body)
    );
    for secret in secrets {
        if whole.contains(secret) {
            found.push(format!("it holds the secret that begins with `{:.6}`", secret));
        }
    }
    let image = call.path.split_once("fromImage=").map(|(_, image)| image);
    if image.is_some_and(|image| !image.contains("sha256") || image.contains("%40%40")) {
        found.push("it pulls what is not pinned by its digest".to_owned());
    }
    if image.is_some_and(|image| {
        image.split("sha256").next().unwrap_or_default().matches("%40").count() > 1
    }) {
        found.push("the name of the image carries credentials".to_owned());
    }
    if call.method == "POST" && call.resource() == "/containers/create" {
        found.extend(of_container(call));
    }
    if call.method == "POST" && call.resource() == "/networks/create" {
        found.extend(of_network(call));
    }
    if call.method == "POST" && call.resource().ends_with("/attach") {
        // The prober's streams are the only ones.
        let own = ["stdin=true", "stdout=true"].iter().all(|word| call.path.contains(word));
        if !own {
            found.push("it attaches to what is not the prober".to_owned());
        }
    }
    found
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

    fn create(body: &Value) -> Call {
        let body = body.to_string().into_bytes();
        Call { body, ..call("POST", "/containers/create?name=portcall-x") }
    }

    #[test]
    fn what_a_worker_asks_is_allowed() {
        let quiet = [
            call("GET", "/_ping"),
            call("GET", "/containers/json?all=true"),
            call("GET", "/images/127.0.0.1:5000/a/b@sha256:00/json"),
            call("POST", "/images/create?fromImage=127.0.0.1%3A5000%2Fa%40sha256%3A00"),
            call("POST", "/containers/x/attach?stream=true&stdin=true&stdout=true&stderr=true"),
            call("DELETE", "/containers/x?force=true&v=true"),
            create(&good()),
        ];
        assert_eq!(violations(&quiet, &["mongodb://"]), [""; 0]);
    }

    /// Each planted call is complained of, and so is each planted field.
    #[test]
    fn what_it_must_not_ask_is_complained_of() {
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
            call("POST", "/containers/x/attach?stream=true&stdout=true"),
            call("POST", "/images/create?fromImage=127.0.0.1%3A5000%2Fa&tag=1"),
            call("POST", "/images/create?fromImage=u%3Ap%40h%2Fa%40sha256%3A00"),
            Call {
                headers: vec![("x-registry-auth".into(), "eyJ1c2VyIjoiYSJ9".into())],
                ..call("POST", "/images/create?fromImage=a%40sha256%3A00")
            },
            Call {
                body: b"{\"Labels\":{\"a\":\"mongodb://u:p@h\"},\"Internal\":true}".to_vec(),
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
            assert_ne!(
                violations(std::slice::from_ref(&call), &["mongodb://"]),
                [""; 0],
                "{call:?}"
            );
        }
    }
}
