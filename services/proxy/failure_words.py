"""What the proxy's own error pages say, in English and Vietnamese. Values; `failures` makes the pages.

English takes the reason phrases of HTTP and each failure's own message. What Vietnamese has no words for, a rare status
or a client that breaks HTTP, is told in English there too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FailureWords:
    """The words of one language. They go into markup as they are, and hold no placeholder but those of error pages.

    `titles` by status, `messages` by code; what is not there is told in English. `blame` says who failed, `hints` what
    to do about a code.
    """

    blame: Mapping[str, str]
    hints: Mapping[str, str]
    foot: str
    titles: Mapping[int, str] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)


WORDS = {
    "en": FailureWords(
        blame={
            "proxy": "The proxy answered this itself.",
            "upstream": "The proxy is well; the server behind it did not give a usable answer.",
        },
        hints={"session_required": '<a href="/login.html">Log in</a>, then come back to this page.'},
        foot="Code <code>{{code}}</code>, request <code>{{request_id}}</code>.",
    ),
    "vi": FailureWords(
        blame={
            "proxy": "Proxy tự trả lời như vậy.",
            "upstream": "Proxy vẫn ổn; máy chủ phía sau không đưa ra được câu trả lời dùng được.",
        },
        hints={"session_required": '<a href="/login.html">Đăng nhập</a>, rồi quay lại trang này.'},
        foot="Mã <code>{{code}}</code>, yêu cầu <code>{{request_id}}</code>.",
        titles={
            400: "Yêu cầu không hợp lệ",
            401: "Cần đăng nhập",
            403: "Không được phép",
            404: "Không tìm thấy",
            405: "Phương thức không được phép",
            408: "Yêu cầu gửi quá lâu",
            410: "Không còn nữa",
            413: "Nội dung quá lớn",
            414: "Địa chỉ quá dài",
            415: "Không nhận loại nội dung này",
            417: "Không đáp ứng được Expect",
            421: "Sai máy chủ",
            429: "Quá nhiều yêu cầu",
            431: "Header quá lớn",
            500: "Lỗi trong máy chủ",
            501: "Chưa hỗ trợ",
            502: "Máy chủ phía sau bị lỗi",
            503: "Tạm thời không phục vụ được",
            504: "Máy chủ phía sau không trả lời kịp",
            505: "Không hỗ trợ phiên bản HTTP này",
        },
        messages={
            "session_required": "hãy đăng nhập tại /login.html trước",
            "loopback_only": "không có khoá thì trang này chỉ mở trên chính máy này",
            "address_denied": "địa chỉ này không được vào đây",
            "admin_only": "chỉ người dùng có mọi peer (*) mới được cho tải lại cấu hình",
            "not_your_peer": "peer này không phải của bạn",
            "peer_not_found": "tracker không biết peer nào như vậy mà từ đây tới được",
            "bad_path": "đường dẫn không hợp lệ",
            "bad_query": "phần truy vấn của địa chỉ không hợp lệ",
            "no_location": "không location nào của host này nhận đường dẫn",
            "not_found": "không có gì ở địa chỉ này",
            "misdirected_host": "proxy này không có quy tắc cho host này",
            "method_not_allowed": "không dùng được phương thức này ở đây",
            "body_too_large": "phần thân của yêu cầu quá lớn",
            "rate_limited": "máy khách này hỏi quá thường xuyên",
            "too_many_at_once": "máy khách này có quá nhiều yêu cầu cùng lúc",
            "only_if_cached": "bộ đệm không có phản hồi nào dùng được, mà yêu cầu không cho hỏi máy chủ",
            "rewrite_loop": "các dòng rewrite đưa yêu cầu đi vòng quá nhiều lần",
            "internal_error": "đã có lỗi xảy ra ở đây",
            "busy": "đang có quá nhiều việc ở đây; hãy thử lại",
            "no_upstream": "chưa biết upstream nào cho yêu cầu này",
            "upstreams_busy": "mọi upstream đều đã nhận đủ số yêu cầu cho phép",
            "queue_timeout": "không upstream nào kịp có chỗ cho yêu cầu này",
            "connect_failed": "không kết nối được tới upstream",
            "connect_timeout": "không kịp kết nối tới upstream",
            "tls_failed": "không thiết lập được TLS với upstream",
            "bad_certificate": "chứng chỉ của upstream không chứng minh được đó là máy cần gọi",
            "upstream_closed": "upstream đóng kết nối trước khi trả lời",
            "send_timeout": "upstream không kịp nhận yêu cầu",
            "reply_timeout": "upstream không kịp trả lời",
            "bad_reply": "phản hồi của upstream trái quy tắc HTTP",
            "upstream_down": "upstream được phát hiện đã ngừng hoạt động trước khi trả lời",
        },
    ),
}
LANGUAGES = tuple(WORDS)
