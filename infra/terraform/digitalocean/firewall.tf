# What may reach what. These rules also hold inside the private network. A machine that is made gets
# its rules by its tag, before it has an address.

locals {
  everywhere = ["0.0.0.0/0", "::/0"]
  machines   = [digitalocean_tag.trusted.id, digitalocean_tag.grader.id]

  # A swarm's gossip and overlays, between all machines.
  overlay = [["tcp", "7946"], ["udp", "7946"], ["udp", "4789"]]

  # What a grader needs of a trusted machine: the managers, the quarantine, packages, the time.
  served = [["tcp", "2377"], ["tcp", tostring(var.quarantine_port)], ["tcp", "3142"], ["udp", "123"]]

  # What only trusted machines need of each other: the engine's API, MongoDB.
  inner = [["tcp", "2376"], ["tcp", "27017"]]
}

resource "digitalocean_firewall" "trusted" {
  name = "${var.name}-trusted"
  tags = [digitalocean_tag.trusted.id]

  inbound_rule {
    protocol         = "tcp"
    port_range       = "22"
    source_addresses = var.operators
  }

  dynamic "inbound_rule" {
    for_each = ["80", "443"]
    content {
      protocol         = "tcp"
      port_range       = inbound_rule.value
      source_addresses = local.everywhere
    }
  }

  dynamic "inbound_rule" {
    for_each = concat(local.overlay, local.served)
    content {
      protocol    = inbound_rule.value[0]
      port_range  = inbound_rule.value[1]
      source_tags = local.machines
    }
  }

  dynamic "inbound_rule" {
    for_each = local.inner
    content {
      protocol    = inbound_rule.value[0]
      port_range  = inbound_rule.value[1]
      source_tags = [digitalocean_tag.trusted.id]
    }
  }

  dynamic "outbound_rule" {
    for_each = ["tcp", "udp"]
    content {
      protocol              = outbound_rule.value
      port_range            = "1-65535"
      destination_addresses = local.everywhere
    }
  }

  outbound_rule {
    protocol              = "icmp"
    destination_addresses = local.everywhere
  }
}

# A grader reaches trusted machines for what they serve, and other machines for the overlay: nothing
# else, and nothing outside.
resource "digitalocean_firewall" "grader" {
  name = "${var.name}-grader"
  tags = [digitalocean_tag.grader.id]

  dynamic "inbound_rule" {
    for_each = ["22", "2376"]
    content {
      protocol    = "tcp"
      port_range  = inbound_rule.value
      source_tags = [digitalocean_tag.trusted.id]
    }
  }

  dynamic "inbound_rule" {
    for_each = local.overlay
    content {
      protocol    = inbound_rule.value[0]
      port_range  = inbound_rule.value[1]
      source_tags = local.machines
    }
  }

  dynamic "outbound_rule" {
    for_each = local.overlay
    content {
      protocol         = outbound_rule.value[0]
      port_range       = outbound_rule.value[1]
      destination_tags = local.machines
    }
  }

  dynamic "outbound_rule" {
    for_each = local.served
    content {
      protocol         = outbound_rule.value[0]
      port_range       = outbound_rule.value[1]
      destination_tags = [digitalocean_tag.trusted.id]
    }
  }
}
