"""The reverse proxy and load balancer. Start reading at `app`; `forward` is the story of one request."""
