# webhook-receiver
