# webhook
