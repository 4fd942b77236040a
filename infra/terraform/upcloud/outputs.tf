output "address" {
  description = "The floating address, for the name that people use."
  value       = upcloud_floating_ip_address.front.ip_address
}

output "trusted" {
  description = "The trusted machines by name, with the address for SSH and the private one."
  value = {
    for number, machine in upcloud_server.trusted :
    machine.hostname => { ssh = machine.network_interface[0].ip_address, private = local.trusted[number] }
  }
}

output "graders" {
  description = "The graders by name, with their private addresses. They are reached from trusted machines."
  value       = { for number, machine in upcloud_server.grader : machine.hostname => local.graders[number] }
}
