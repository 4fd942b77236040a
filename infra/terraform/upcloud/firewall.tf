# What trusted machines let in from outside. It is evaluated in order; the last line is for the rest.
# What goes out is not limited; answers to it come back by the accepted ranges of ports.

resource "upcloud_firewall_rules" "trusted" {
  for_each = local.trusted

  server_id = upcloud_server.trusted[each.key].id

  dynamic "firewall_rule" {
    for_each = var.operators
    content {
      action                 = "accept"
      comment                = "SSH for operators"
      direction              = "in"
      family                 = "IPv4"
      protocol               = "tcp"
      destination_port_start = "22"
      destination_port_end   = "22"
      source_address_start   = cidrhost(firewall_rule.value, 0)
      source_address_end     = cidrhost(firewall_rule.value, -1)
    }
  }

  dynamic "firewall_rule" {
    for_each = ["80", "443"]
    content {
      action                 = "accept"
      comment                = "HTTP for everybody"
      direction              = "in"
      family                 = "IPv4"
      protocol               = "tcp"
      destination_port_start = firewall_rule.value
      destination_port_end   = firewall_rule.value
    }
  }

  # The firewall keeps no state: answers of name servers, time servers and web servers.
  dynamic "firewall_rule" {
    for_each = [["udp", "53"], ["udp", "123"], ["tcp", "53"], ["tcp", "80"], ["tcp", "443"]]
    content {
      action                 = "accept"
      comment                = "answers"
      direction              = "in"
      family                 = "IPv4"
      protocol               = firewall_rule.value[0]
      source_port_start      = firewall_rule.value[1]
      source_port_end        = firewall_rule.value[1]
      destination_port_start = "32768"
      destination_port_end   = "60999"
    }
  }

  firewall_rule {
    action    = "drop"
    comment   = "all else"
    direction = "in"
  }
}
