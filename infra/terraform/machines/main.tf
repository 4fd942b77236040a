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

  node_apply = join(" ", concat(
    ["${local.home}/infra/nodes/node apply --restart --egress closed"],
    ["--quarantine ${var.trusted[0]}:${var.quarantine_port}"],
    ["--clocks ${join(",", var.trusted)}"],
    ["--workers ${join(",", var.trusted)}"],
    ["--nodes ${var.network}"],
    ["--pool ${var.slot_pool}"],
  ))

  # The engine must not start on the root disk when the other one is missing.
  disk_first = <<-EOT
    [Unit]
    RequiresMountsFor=/var/lib/docker
  EOT

  prepare = <<-EOT
    #!/bin/sh
    # Puts the engine's data on a disk of its own, on XFS with project quotas, and names the quarantine.
    # Again changes nothing.
    set -eu
    systemctl stop docker.service docker.socket
    if ! blkid '${var.disk}' >/dev/null; then mkfs.xfs -q -L portcall '${var.disk}'; fi
    if ! grep -q '^LABEL=portcall ' /etc/fstab; then
      echo 'LABEL=portcall /var/lib/docker xfs defaults,pquota 0 2' >>/etc/fstab
    fi
    # The platform's own registry, by the name that images have there.
    if ! grep -q ' quarantine$' /etc/hosts; then echo '${var.trusted[0]} quarantine' >>/etc/hosts; fi
    mkdir -p /var/lib/docker
    if ! mountpoint -q /var/lib/docker; then mount /var/lib/docker; fi
    systemctl daemon-reload
    systemctl start docker.service
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

  trusted = {
    package_update = true
    packages       = ["apt-cacher-ng", "chrony", "docker.io", "jq", "nftables"]
    write_files = concat(
      [
        { path = "/etc/chrony/conf.d/portcall.conf", content = "allow ${var.network}\n" },
        {
          path    = "/etc/docker/daemon.json"
          content = jsonencode({ "insecure-registries" = ["quarantine:${var.quarantine_port}"] })
        },
      ],
      var.fenced == "" ? [] : [
        { path = "/etc/nftables.conf", permissions = "0755", content = local.fence },
      ],
    )
    runcmd = concat(
      ["systemctl restart chrony"],
      var.fenced == "" ? [] : ["systemctl enable --now nftables", "systemctl restart nftables"],
    )
  }

  grader = {
    apt            = { http_proxy = "http://${var.trusted[0]}:3142" }
    package_update = true
    packages       = ["chrony", "docker.io", "jq", "nftables", "xfsprogs"]
    write_files = concat(
      [
        {
          path    = "/etc/chrony/conf.d/portcall.conf"
          content = join("", [for host in var.trusted : "server ${host} iburst\n"])
        },
        {
          path = "/etc/docker/daemon.json"
          content = jsonencode({
            "storage-driver" = "overlay2"
            "storage-opts"   = ["overlay2.size=${var.root_size}"]
            # Only what is looked at there may be pulled, and it has no TLS inside this network.
            "insecure-registries" = ["quarantine:${var.quarantine_port}"]
          })
        },
        { path = "/etc/systemd/system/docker.service.d/disk.conf", content = local.disk_first },
        { path = "${local.home}/prepare", permissions = "0755", content = local.prepare },
      ],
      [for name in local.node_files : {
        path        = "${local.home}/${name}"
        permissions = endswith(name, "/node") ? "0755" : "0644"
        encoding    = "gz+b64"
        content     = base64gzip(file("${local.repository}/${name}"))
      }],
    )
    runcmd = ["${local.home}/prepare", local.node_apply, "systemctl restart chrony"]
  }
}
