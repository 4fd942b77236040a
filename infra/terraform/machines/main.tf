# What a machine does when it is first started, as cloud-init reads it. It knows no cloud, so that it
# can be planned, and looked at, without one.
#
# A trusted machine gets an engine, and serves its graders the time and Debian's packages: they have
# no other way out. A grader gets its data on XFS with project quotas, and the settings of
# infra/nodes, applied before anything of a stranger's is near. Neither joins the swarm by itself:
# a token in a file is a secret in a file (infra/runbook.md has the lines).

locals {
  repository = "${path.module}/../../.."
  home       = "/opt/portcall"

  # Everything that infra/nodes/node reads.
  node_files = concat(
    [for name in fileset("${local.repository}/infra/nodes", "**") : "infra/nodes/${name}"],
    ["infra/lib/say.sh"],
  )

  # The engine must not start on the root disk when the other one is missing.
  disk_first = <<-EOT
    [Unit]
    RequiresMountsFor=/var/lib/docker
  EOT

  # What ./prepare is told.
  settings = <<-EOT
    TRUSTED=${join(",", var.trusted)}
    QUARANTINE_PORT=${var.quarantine_port}
    NETWORK=${var.network}
    SLOT_POOL=${var.slot_pool}
    DISK=${var.disk}
  EOT

  # Before addresses are translated, so that ports that containers publish are meant too.
  fence = <<-EOT
    #!/usr/sbin/nft -f
    table inet portcall_fence
    delete table inet portcall_fence
    table inet portcall_fence {
      chain arriving {
        type filter hook prerouting priority mangle; policy accept;
        ip saddr != ${var.fenced} accept
        ct state established,related accept
        tcp dport { 2377, 7946, ${var.quarantine_port}, 3142 } accept
        udp dport { 7946, 4789, 123 } accept
        icmp type echo-request accept
        counter drop
      }
    }
  EOT

  # DigitalOcean would write /etc/hosts anew at every start, and `quarantine` would be gone.
  trusted = {
    manage_etc_hosts = false
    package_update   = true
    packages         = ["apt-cacher-ng", "chrony", "docker.io", "jq", "nftables"]
    write_files = concat(
      [
        { path = "/etc/chrony/conf.d/portcall.conf", content = "allow ${var.network}\n" },
        {
          path    = "/etc/docker/daemon.json"
          content = jsonencode({ "insecure-registries" = ["quarantine:${var.quarantine_port}"] })
        },
        { path = "/etc/systemd/system/docker.service.d/portcall.conf", content = file("${path.module}/engine.conf") },
      ],
      var.fenced == "" ? [] : [
        { path = "/etc/nftables.conf", permissions = "0755", content = local.fence },
      ],
    )
    # What infra/certificates makes for this machine is put there by an operator: a key in a file that
    # the cloud keeps would be everybody's who may read that.
    runcmd = concat(
      ["install -d -m 0700 /etc/docker/api", "systemctl restart chrony"],
      var.fenced == "" ? [] : ["systemctl enable --now nftables", "systemctl restart nftables"],
    )
  }

  # Packages are not cloud-init's affair here: m1, which serves them, may not be there yet.
  grader = {
    manage_etc_hosts = false
    write_files = concat(
      [
        {
          path = "${local.home}/daemon.json"
          content = jsonencode({
            "storage-driver" = "overlay2"
            "storage-opts"   = ["overlay2.size=${var.root_size}"]
            # Only what is looked at there may be pulled, and it has no TLS inside this network.
            "insecure-registries" = ["quarantine:${var.quarantine_port}"]
          })
        },
        { path = "/etc/systemd/system/docker.service.d/disk.conf", content = local.disk_first },
        { path = "${local.home}/machine.env", content = local.settings },
        { path = "${local.home}/prepare", permissions = "0755", content = file("${path.module}/prepare") },
      ],
      [for name in local.node_files : {
        path        = "${local.home}/${name}"
        permissions = endswith(name, "/node") ? "0755" : "0644"
        encoding    = "gz+b64"
        content     = base64gzip(file("${local.repository}/${name}"))
      }],
    )
    runcmd = ["${local.home}/prepare"]
  }
}
