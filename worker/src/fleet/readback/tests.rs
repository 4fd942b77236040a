//! Read-back: every field that is dropped or changed is found.

use bollard::models::{ContainerConfig, EndpointSettings, HostConfig, MountPoint, NetworkSettings};
use serde_json::json;

use super::*;
use crate::fleet::{
    facts::tests::node,
    labels::Kind,
    limits::Profile,
    request::{
        DiskThrottle, NodeSettings, RootQuota, network,
        tests::{labels, request},
    },
};

/// What an engine that keeps everything answers.
fn faithful(intended: &ContainerCreateBody) -> ContainerInspectResponse {
    let mut config = object(intended);
    config.remove("HostConfig");
    config.remove("NetworkingConfig");
    let mut config: ContainerConfig = serde_json::from_value(Value::Object(config)).unwrap();
    config.cmd = Some(vec!["/app".into()]);
    config.env = Some(vec!["PATH=/bin".into()]);
    config.exposed_ports = Some(vec!["80/tcp".into()]);
    config.labels.as_mut().unwrap().insert("maintainer".into(), "somebody".into());
    let mut host: HostConfig = intended.host_config.clone().unwrap();
    host.readonly_paths = Some(READONLY_PATHS.iter().map(ToString::to_string).collect());
    host.runtime = host.runtime.or(Some("runc".into()));
    host.console_size = Some(vec![0, 0]);
    host.cpu_shares = Some(0);
    host.cap_add = host.cap_add.map(|add| add.iter().map(|cap| format!("CAP_{cap}")).collect());
    let endpoint = EndpointSettings {
        aliases: Some(vec!["vote".into(), "0123456789ab".into()]),
        ..Default::default()
    };
    ContainerInspectResponse {
        config: Some(config),
        host_config: Some(host),
        network_settings: Some(NetworkSettings {
            networks: Some([("slot".to_owned(), endpoint)].into()),
            ..Default::default()
        }),
        mounts: Some(vec![]),
        ..Default::default()
    }
}

fn everything() -> NodeSettings {
    NodeSettings {
        runtime: Some("runsc".into()),
        cgroup_parent: Some("/grader.slice".into()),
        cpuset: Some("1".into()),
        throttle: Some(DiskThrottle {
            device: "/dev/vda".into(),
            bytes_per_s: 20_000_000,
            operations_per_s: 500,
        }),
        root_quota: RootQuota::Project,
    }
}

fn with(stored: &ContainerInspectResponse, path: &str, value: Value) -> ContainerInspectResponse {
    let mut changed = serde_json::to_value(stored).unwrap();
    let (part, field) = path.split_once('.').unwrap();
    changed[part][field] = value;
    serde_json::from_value(changed).unwrap()
}

#[test]
fn an_engine_that_keeps_everything_passes() {
    for profile in [Profile::Ordinary, Profile::Strict] {
        for settings in [NodeSettings::default(), everything()] {
            let intended = request(profile, &settings);
            assert_eq!(differences(&intended, &faithful(&intended)), Vec::<String>::new());
            // An engine adds what the image says of its health check, which is switched off.
            let check = serde_json::json!({ "Test": ["NONE"], "Interval": 1_000_000 });
            let added = with(&faithful(&intended), "Config.Healthcheck", check);
            assert_eq!(differences(&intended, &added), Vec::<String>::new());
            let check = serde_json::json!({ "Test": ["CMD", "x"], "Interval": 1_000_000 });
            let other = with(&faithful(&intended), "Config.Healthcheck", check);
            assert_eq!(differences(&intended, &other), ["Config.Healthcheck"]);
        }
    }
}

#[test]
fn every_field_that_is_dropped_is_found() {
    for profile in [Profile::Ordinary, Profile::Strict] {
        let intended = request(profile, &everything());
        let stored = faithful(&intended);
        let mut dropped = 0;
        let asked = serde_json::to_value(&intended).unwrap();
        let parts = [("HostConfig", &asked["HostConfig"]), ("Config", &asked)];
        for (part, fields) in parts {
            for (field, value) in fields.as_object().unwrap() {
                let says_nothing = plain(field, value.clone()) == Value::Null;
                if says_nothing || ["HostConfig", "NetworkingConfig"].contains(&field.as_str()) {
                    continue;
                }
                let path = format!("{part}.{field}");
                let mut without = serde_json::to_value(&stored).unwrap();
                without[part].as_object_mut().unwrap().remove(field);
                let without = serde_json::from_value(without).unwrap();
                assert_eq!(differences(&intended, &without), [path], "{profile:?}");
                dropped += 1;
            }
        }
        assert!(dropped >= 35, "only {dropped} fields were tried");
    }
}

#[test]
fn whatever_is_looser_than_asked_for_is_found() {
    let intended = request(Profile::Strict, &NodeSettings::default());
    let stored = faithful(&intended);
    for (path, value) in [
        ("HostConfig.Privileged", json!(true)),
        ("HostConfig.Binds", json!(["/:/host"])),
        ("HostConfig.Mounts", json!([{"Type": "bind", "Source": "/", "Target": "/host"}])),
        ("HostConfig.VolumesFrom", json!(["other"])),
        ("HostConfig.Devices", json!([{"PathOnHost": "/dev/vda"}])),
        ("HostConfig.DeviceCgroupRules", json!(["a *:* rwm"])),
        ("HostConfig.DeviceRequests", json!([{"Driver": "nvidia"}])),
        ("HostConfig.PidMode", json!("host")),
        ("HostConfig.UTSMode", json!("host")),
        ("HostConfig.IpcMode", json!("host")),
        ("HostConfig.UsernsMode", json!("host")),
        ("HostConfig.CgroupnsMode", json!("host")),
        ("HostConfig.NetworkMode", json!("host")),
        ("HostConfig.PublishAllPorts", json!(true)),
        ("HostConfig.PortBindings", json!({"80/tcp": [{"HostPort": "80"}]})),
        ("HostConfig.Links", json!(["a:b"])),
        ("HostConfig.ExtraHosts", json!(["a:1.2.3.4"])),
        ("HostConfig.GroupAdd", json!(["docker"])),
        ("HostConfig.CapAdd", json!(["SYS_ADMIN"])),
        ("HostConfig.CapDrop", json!([])),
        ("HostConfig.SecurityOpt", json!(["seccomp=unconfined"])),
        ("HostConfig.AutoRemove", json!(true)),
        ("HostConfig.OomKillDisable", json!(true)),
        ("HostConfig.ReadonlyRootfs", json!(false)),
        ("HostConfig.PidsLimit", json!(-1)),
        ("HostConfig.Memory", json!(1)),
        ("HostConfig.MemorySwap", json!(-1)),
        ("HostConfig.MemorySwappiness", json!(60)),
        ("HostConfig.MaskedPaths", json!([])),
        ("HostConfig.ReadonlyPaths", json!([])),
        ("HostConfig.ReadonlyPaths", json!(["/proc/bus"])),
        ("HostConfig.Runtime", json!("other")),
        ("HostConfig.Sysctls", json!({"net.ipv4.ip_unprivileged_port_start": "0"})),
        ("HostConfig.Ulimits", json!([{"Name": "nofile", "Soft": 256, "Hard": 256}])),
        ("HostConfig.RestartPolicy", json!({"Name": "always"})),
        ("Config.User", json!("root")),
        ("Config.Image", json!("other")),
        ("Config.Tty", json!(true)),
        ("Config.Labels", json!({})),
        ("Config.Healthcheck", json!({"Test": ["CMD", "/x"]})),
        ("Config.StopSignal", json!("SIGTERM")),
    ] {
        // An engine shows either the list of read-only paths or none at all.
        let found = differences(&intended, &with(&stored, path, value.clone()));
        let empty_list = path.ends_with("ReadonlyPaths") && value == json!([]);
        if empty_list {
            assert_eq!(found, Vec::<String>::new());
        } else {
            assert_eq!(found, [path], "{value}");
        }
    }
}

#[test]
fn volumes_and_further_networks_are_found() {
    let intended = request(Profile::Ordinary, &NodeSettings::default());
    let mut stored = faithful(&intended);
    stored.mounts = Some(vec![MountPoint { typ: Some("volume".into()), ..Default::default() }]);
    assert_eq!(differences(&intended, &stored), ["Mounts"]);

    let mut stored = faithful(&intended);
    let networks = stored.network_settings.as_mut().unwrap().networks.as_mut().unwrap();
    networks.get_mut("slot").unwrap().aliases = None;
    assert_eq!(differences(&intended, &stored), ["NetworkSettings.Networks.Aliases"]);

    let mut stored = faithful(&intended);
    let networks = stored.network_settings.as_mut().unwrap().networks.as_mut().unwrap();
    networks.insert("bridge".into(), EndpointSettings::default());
    assert_eq!(differences(&intended, &stored), ["NetworkSettings.Networks"]);
}

#[test]
fn a_network_with_a_hole_is_found() {
    let subnet = "10.213.0.112/28".parse().unwrap();
    let intended = network("slot", &subnet, &node(), labels(Kind::Slot));
    let faithful = object(&intended);
    let read = |fields: &Map<String, Value>| {
        let stored = serde_json::from_value(Value::Object(fields.clone())).unwrap();
        network_differences(&intended, &stored)
    };
    assert_eq!(read(&faithful), Vec::<String>::new());
    for (field, value) in [
        ("Internal", json!(false)),
        ("EnableIPv6", json!(true)),
        ("Attachable", json!(true)),
        ("Ingress", json!(true)),
        ("Driver", json!("host")),
        ("Options", json!({})),
        ("Labels", json!({})),
        ("IPAM", json!({"Driver": "default", "Config": [{"Subnet": "10.0.0.0/8"}]})),
    ] {
        let mut holed = faithful.clone();
        holed.insert(field.to_owned(), value);
        assert_eq!(read(&holed), [format!("Network.{field}")]);
    }
}
