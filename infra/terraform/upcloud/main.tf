# Three trusted machines and any number of graders in a private network. Graders have no public
# address and no route: what they need they have from the trusted machines. What those let in from
# outside is in firewall.tf, from graders in ../machines (`fenced`): the cloud's firewall does not
# look at private networks.

locals {
  # Their addresses are known before they are made.
  trusted = { for number in [1, 2, 3] : tostring(number) => cidrhost(var.network, 10 + number) }
  graders = { for number in var.graders : tostring(number) => cidrhost(var.network, 128 + number) }
}

module "machines" {
  source = "../machines"

  trusted         = values(local.trusted)
  network         = var.network
  fenced          = cidrsubnet(var.network, 1, 1)
  quarantine_port = var.quarantine_port
  slot_pool       = var.slot_pool
  root_size       = var.root_size
  # The second disk; the first has the system.
  disk = "/dev/vdb"
}

resource "upcloud_network" "machines" {
  name = var.name
  zone = var.zone

  ip_network {
    address            = var.network
    dhcp               = true
    dhcp_default_route = false
    family             = "IPv4"
  }
}

resource "upcloud_server" "trusted" {
  for_each = local.trusted

  hostname  = "${var.name}-m${each.key}"
  zone      = var.zone
  plan      = var.trusted_plan
  firewall  = true
  metadata  = true
  user_data = module.machines.trusted

  template {
    storage = var.image
    size    = 80
  }

  network_interface {
    type = "public"
  }

  network_interface {
    type       = "private"
    network    = upcloud_network.machines.id
    ip_address = each.value
  }

  login {
    user              = "root"
    keys              = var.ssh_keys
    create_password   = false
    password_delivery = "none"
  }

  # A new cloud-init file is no reason to lose a manager and a member of the replica set.
  lifecycle {
    ignore_changes = [user_data]
  }
}

resource "upcloud_storage" "grader" {
  for_each = local.graders

  title = "${var.name}-g${each.key}"
  zone  = var.zone
  size  = var.data_gib
  tier  = "maxiops"
}

resource "upcloud_server" "grader" {
  for_each = local.graders

  hostname  = "${var.name}-g${each.key}"
  zone      = var.zone
  plan      = var.grader_plan
  metadata  = true
  user_data = module.machines.grader

  template {
    storage = var.image
    size    = 20
    address = "virtio:0"
  }

  storage_devices {
    storage = upcloud_storage.grader[each.key].id
    address = "virtio:1"
  }

  network_interface {
    type       = "private"
    network    = upcloud_network.machines.id
    ip_address = each.value
  }

  login {
    user              = "root"
    keys              = var.ssh_keys
    create_password   = false
    password_delivery = "none"
  }

  # It names all trusted machines: one of them that is replaced would else replace every grader.
  lifecycle {
    ignore_changes = [user_data]
  }
}

resource "upcloud_floating_ip_address" "front" {
  mac_address = upcloud_server.trusted[tostring(var.front)].network_interface[0].mac_address
}
