output "address" {
  description = "The floating address, for the name that people use."
  value       = digitalocean_reserved_ip.front.ip_address
}

output "trusted" {
  description = "The trusted machines by name, with the address for SSH and the private one."
  value = {
    for machine in digitalocean_droplet.trusted :
    machine.name => { ssh = machine.ipv4_address, private = machine.ipv4_address_private }
  }
}

output "graders" {
  description = "The graders by name, with their private addresses. They are reached from trusted machines."
  value       = { for machine in digitalocean_droplet.grader : machine.name => machine.ipv4_address_private }
}
