curl --request POST \
--url https://api.open.cx/widget/authenticate-user \
--header 'Authorization: Bearer <token>' \
--header 'Content-Type: application/json' \
--data '
{
"email": "[email protected]",
"name": "John Doe",
"avatar_url": "https://example.com/avatar.png",
"phone": "+1234567890",
"language": "en",
"customData": {
"customKey": "customValue"
},
"chat_context": "<string>",
"http_action_overrides": {
"query_params": {},
"path_params": {},
"body_params": {},
"headers": {}
}
}
'
