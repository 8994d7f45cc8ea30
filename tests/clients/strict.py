"""Checks requests for completions as Mistral's services do: one request per line in, `ok` or the reason out."""

import json
import sys

from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.validator import ValidationMode, get_validator
from mistral_common.tokens.tokenizers.base import TokenizerVersion

# The newest version that holds the ids of tool calls to nine letters and digits.
validator = get_validator(TokenizerVersion.v11, ValidationMode.serving)

for line in sys.stdin:
    fields = json.loads(line)
    # Says how the answer is sent, not what is asked.
    fields.pop("stream", None)
    try:
        validator.validate_request(ChatCompletionRequest.model_validate(fields))
        answer = "ok"
    except (MistralCommonException, ValueError) as error:
        answer = " ".join(str(error).split())
    print(answer, flush=True)
